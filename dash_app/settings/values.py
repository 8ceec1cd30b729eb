"""The kinds of values that a configuration may hold, each refused with what is allowed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from dash_app.system.secret_files import token_in

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([a-zA-Z]+)")
"""Fifteen digits are exact as a float; more would not be a size or a duration anyway."""

MAX_INTEGER = 2**63 - 1
"""Of TOML, and of SQLite."""

HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
MAX_HOST_LETTERS = 253
NO_HOST = 'write a host alone, such as "box.example.ts.net", or "xn--..." for one that DNS encodes'
AMBIGUOUS = re.compile("[ßς\u200c\u200d]")
"""Letters that the two standards of international names, of 2003 and of 2008, write differently."""

BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Controls that turn the direction of what follows, also in a terminal."""

BROADCAST = "255.255.255.255"
PLACES = {"loopback": "loopback", "localhost": "loopback", "tailscale": "tailscale"}
"""The words for addresses and networks."""


def _duration(value: object) -> timedelta:
    amount, unit = _quantity(value, DURATION_UNITS, '"250ms", "5s", "1m", "12h" or "400d"')
    try:
        return timedelta(seconds=amount * DURATION_UNITS[unit])
    except OverflowError:
        raise ValueError("that is too long") from None


def _size(value: object) -> int:
    amount, unit = _quantity(value, SIZE_UNITS, '"500MB" or "2GB"')
    return int(amount * SIZE_UNITS[unit])


def _quantity(value: object, units: Mapping[str, float], examples: str) -> tuple[float, str]:
    match = QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"write a number and a unit, such as {examples}")
    return float(match[1]), match[2]


def expanded(path: str) -> Path:
    """Return a path with its `~` replaced. Raise ValueError if there is no such home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        home = Path(path).parts[0]
        raise ValueError(f"{home} is no home folder here: write the path in full") from None


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("write a path in quotes")
    folder: Path = info.context["folder"] if info.context else Path.cwd()
    return folder / expanded(value)


def path_or_none(value: object, info: ValidationInfo) -> Path | None:
    """Return a path; None for no file. Raises ValueError."""
    return None if value is None or value == "" else _path(value, info)


def token(value: object, info: ValidationInfo) -> str | None:
    """Return the token in a file; None for no file. Raise ValueError."""
    path = path_or_none(value, info)
    try:
        return token_in(path) if path else None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def address(value: str) -> str:
    """Return an address to serve at, by a word for it or as such. Raise ValueError."""
    text = value.strip().removeprefix("[").removesuffix("]").lower()
    if text in PLACES:
        return PLACES[text]
    try:
        found = ip_address(text)
    except ValueError:
        raise ValueError(f'write "loopback", "tailscale" or an IP address{_port(text)}') from None
    if found.version == 6 and (found.is_link_local or found.scope_id):
        raise ValueError("an address that needs a zone cannot be served: name another one")
    found = (found.version == 6 and found.ipv4_mapped) or found
    if found.is_multicast or str(found) == BROADCAST:
        raise ValueError("it belongs to no single machine: name an address of this one")
    return str(found)


def _port(text: str) -> str:
    return "; the port is a setting of its own" if re.fullmatch(r"[^:]+:\d+", text) else ""


def network(value: str) -> str:
    """Return a network that may ask, by a word for it or as such. Raise ValueError."""
    text = value.strip().lower()
    if text in PLACES:
        return PLACES[text]
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            'write "loopback", "tailscale", an address or a network such as "192.168.1.0/24"'
        ) from None
    own, _, length = text.partition("/")
    if length and ip_address(own) != found.network_address:
        raise ValueError(f'write "{found}" for the whole network or "{own}" for one client')
    if found.version == 6 and (mapped := found.network_address.ipv4_mapped):
        found = ip_network((mapped, found.prefixlen - 96))
    return str(found)


def host(value: str) -> str:
    """Return a host name or address as a browser sends it, without scheme and port.

    Raise ValueError for anything else, with the way to write it.
    """
    text = re.sub(r"https?://", "", value.strip().lower(), count=1).removesuffix("/")
    is_ipv6 = text.startswith("[") or text.count(":") > 1
    port = r"\](:[0-9]{0,5})?$" if is_ipv6 else r":[0-9]{0,5}$"
    name = re.sub(port, "", text, count=1).removeprefix("[").removesuffix(".")
    if "*" in name or name.startswith("."):
        raise ValueError("write out each host: a pattern would let other websites in")
    try:
        name = name if name.isascii() else _ascii_name(name)
        if is_ipv6 or name.rpartition(".")[2].isdigit():
            name = str(ip_address(name))
    except ValueError:
        raise ValueError(NO_HOST) from None
    if len(name) > MAX_HOST_LETTERS or not (is_ipv6 or HOST.fullmatch(name)) or "%" in name:
        raise ValueError(NO_HOST)
    return name


def _ascii_name(name: str) -> str:
    """Return an international name as DNS has it. Raise ValueError if the standards differ."""
    if AMBIGUOUS.search(name):
        raise ValueError
    return name.encode("idna").decode()


def one_line(value: str) -> str:
    """Return a label in one line, without control characters."""
    line = " ".join(value.split())
    return "".join(one for one in line if one not in BIDI and unicodedata.category(one) != "Cc")


def users(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return the allowed users. Raise ValueError if they cannot be known, or for an empty name."""
    if value and not info.data.get("trust_tailscale_identity"):
        raise ValueError("who asks is known only with trust_tailscale_identity = true")
    names = tuple(name.strip() for name in value)
    if not all(names):
        raise ValueError("an empty name would let in everybody: write names, or an empty list")
    return names


def origin(value: str) -> str:
    """Return the origin of a page that may read the answers, as a browser sends it.

    Raise ValueError.
    """
    text = value.strip().lower().removesuffix("/")
    match = re.fullmatch(r"(http|https)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", text)
    if match is None:
        raise ValueError('write a scheme and a host, such as "https://box.example.ts.net"')
    usual = {"http": ":80", "https": ":443"}[match[1]]  # a browser leaves it out
    return text.removesuffix(usual) if match[3] == usual else text


def page_link(value: str) -> str:
    """Return the base of links, without a slash at its end. Raises ValueError."""
    match = re.fullmatch(r"(https?://[^\s/?#]+)(/[^\s?#]*)?", value)
    if value and not match:
        raise ValueError('write where the page is, such as "https://box.example.ts.net"')
    if match and (match[2] or "").strip("/"):
        raise ValueError(
            f'the page is not served under a path: write "{match[1]}", and give it a name or a'
            " port of its own"
        )
    return match[1] if match else ""


def between(least: timedelta, most: timedelta, words: str) -> AfterValidator:
    """Return what refuses a duration outside a range, told in these words."""

    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"must lie between {words}")
        return value

    return AfterValidator(check)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size), Field(le=MAX_INTEGER)]
ConfigPath = Annotated[Path, BeforeValidator(_path)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
