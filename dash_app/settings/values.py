"""The types of settings. Each rejects a wrong value with what to write instead."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import timedelta
from glob import escape
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePath
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
)

from dash_app.system.secret_files import read_token, read_urls

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([a-zA-Z]+)")
"""A number and a unit. A float holds fifteen digits exactly."""

PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,15})?)\s*%")

MAX_INTEGER = 2**63 - 1
"""The largest integer of TOML and of SQLite."""

NOT_PLAIN = re.compile(
    r"""[\s"'`]|\$[A-Za-z_{(]|%\w+%|\\\\|[A-Za-z][A-Za-z0-9+.-]*:[/\\]|file:|:memory:"""
)
"""How a path begins that only a shell, Windows or a library understands. Here it would be a file
beside the configuration, which never appears. Before a name that is meant so, people write ./"""

HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
MAX_HOST_CHARACTERS = 253
MAX_PATH_BYTES = 4095
"""No longer path can be opened (`PATH_MAX` in path_resolution(7))."""

NOT_A_HOST = (
    'write only a host, such as "box.example.ts.net", and an international name as "xn--..."'
)
AMBIGUOUS = re.compile("[ßς\u200c\u200d]")
"""Letters that the international names of 2003 and of 2008 encode differently."""

BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Controls that change the direction of the text after them, in a terminal too."""

BROADCAST = "255.255.255.255"
NAMED = {"loopback": "loopback", "localhost": "loopback", "tailscale": "tailscale"}
"""Names for addresses and networks."""

T = TypeVar("T")


def duration(value: object) -> timedelta:
    """Return a duration such as "5s". Raise ValueError if it is not one."""
    amount, unit = _quantity(value, DURATION_UNITS, '"250ms", "5s", "1m", "12h" or "400d"')
    try:
        return timedelta(seconds=amount * DURATION_UNITS[unit])
    except OverflowError:
        raise ValueError("that is too long") from None


def _size(value: object) -> int:
    amount, unit = _quantity(value, SIZE_UNITS, '"800kB", "500MB" or "2GB"')
    return int(amount * SIZE_UNITS[unit])


def _quantity(value: object, units: Mapping[str, float], examples: str) -> tuple[float, str]:
    match = QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"write a number and a unit, such as {examples}")
    return float(match[1]), match[2]


def _percent(value: object) -> float:
    match = PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) > 100:
        raise ValueError('write a percentage from "0%" to "100%", such as "20%"')
    return float(match[1])


def between(minimum: str, maximum: str) -> AfterValidator:
    """Return a validator that rejects durations outside a range."""
    lower, upper = duration(minimum), duration(maximum)

    def check(value: timedelta) -> timedelta:
        if not lower <= value <= upper:
            raise ValueError(f"must be between {minimum} and {maximum}")
        return value

    return AfterValidator(check)


def expectation_table(value: object) -> object:
    """Return the value of `expect`. Raise ValueError with an example if it is not a table."""
    if isinstance(value, dict | BaseModel):
        return value
    text = 'write the expected time between writes, such as {every = "1h", grace = "10m"}'
    raise ValueError(text)


def expand_home(path: str) -> Path:
    """Return a path with its `~` replaced. Raise ValueError if there is no such home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        home = Path(path).parts[0]
        raise ValueError(f"{home} is not a home folder here: write the full path") from None


def _path(value: object, info: ValidationInfo) -> Path:
    """Return a path, relative to the folder of the configuration file."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("write a path in quotes")
    if len(value.encode()) > MAX_PATH_BYTES:
        raise ValueError("that is too long")
    if NOT_PLAIN.match(value):
        raise ValueError('write a path such as "~/x" or "/srv/x": no variable, URL or Windows path')
    folder: Path = info.context["folder"] if info.context else Path.cwd()
    return folder / expand_home(value)


def _database_path(value: object, info: ValidationInfo) -> PurePath:
    """Return a path, or a pattern: a PurePath, because it names no file.

    Only `*` makes a pattern: a file may well have `?` or brackets in its name. In the path of one
    file, it is written as `[*]`, and the others then as `[?]` and `[[]`.
    """
    path = _path(value, info)
    if not (isinstance(value, str) and "*" in value):
        return path
    if "*" not in value.replace("[*]", ""):
        return _path(re.sub(r"\[([*?[])]", r"\1", value), info)
    pattern = PurePath(escape(str(_path(".", info))), expand_home(value))
    if "**" in pattern.parts:
        raise ValueError("`**` is not supported: write one `*` for each folder")
    return pattern


def _history_path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, str) and re.search("[*?]", value):
        raise ValueError(
            "write the path of one file: only `path` of [[databases]] may be a pattern"
        )
    return _path(value, info)


def _read(
    value: object, info: ValidationInfo, read: Callable[[Path], T]
) -> tuple[Path, T] | tuple[None, None]:
    """Return a path and what its file contains; nothing if there is no path."""
    if value is None or value == "":
        return None, None
    path = _path(value, info)
    try:
        return path, read(path)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def _token(value: object, info: ValidationInfo) -> str | None:
    return _read(value, info, read_token)[1]


def _urls_file(value: object, info: ValidationInfo) -> Path | None:
    return _read(value, info, read_urls)[0]


def _heartbeat_file(value: object, info: ValidationInfo) -> Path | None:
    path, urls = _read(value, info, read_urls)
    if urls and not urls[0].startswith(("http://", "https://")):
        raise ValueError("the heartbeat's URL must begin with http:// or https://")
    return path


def served_address(value: str) -> str:
    """Return an address to serve, or the name of some. Raise ValueError."""
    text = value.strip().removeprefix("[").removesuffix("]").lower()
    if text in NAMED:
        return NAMED[text]
    try:
        address = ip_address(text)
    except ValueError:
        has_port = re.fullmatch(r"[^:]+:\d+", text)
        port = "; the port is a setting of its own" if has_port else ""
        raise ValueError(f'write "loopback", "tailscale" or an IP address{port}') from None
    if address.version == 6 and (address.is_link_local or address.scope_id):
        raise ValueError("an address with a zone cannot be served: use another one")
    address = (address.version == 6 and address.ipv4_mapped) or address
    if address.is_multicast or str(address) == BROADCAST:
        raise ValueError("that address does not belong to one machine: use one of this machine")
    return str(address)


def _network(value: str) -> str:
    text = value.strip().lower()
    if text in NAMED:
        return NAMED[text]
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            'write "loopback", "tailscale", an address or a network such as "192.168.1.0/24"'
        ) from None
    own, _, length = text.partition("/")
    if length and ip_address(own) != network.network_address:
        raise ValueError(f'write "{network}" for the whole network or "{own}" for one client')
    if network.version == 6 and (mapped := network.network_address.ipv4_mapped):
        network = ip_network((mapped, network.prefixlen - 96))
    return str(network)


def _host(value: str) -> str:
    """Return a host name or address as a browser sends it, without scheme and port."""
    text = re.sub(r"https?://", "", value.strip().lower(), count=1).removesuffix("/")
    is_ipv6 = text.startswith("[") or text.count(":") > 1
    port = r"\](:[0-9]{0,5})?$" if is_ipv6 else r":[0-9]{0,5}$"
    name = re.sub(port, "", text, count=1).removeprefix("[").removesuffix(".")
    if "*" in name or name.startswith("."):
        raise ValueError("write each host in full: a pattern would let other websites in")
    try:
        name = name if name.isascii() else _ascii_name(name)
        if is_ipv6 or name.rpartition(".")[2].isdigit():
            name = str(ip_address(name))
    except ValueError:
        raise ValueError(NOT_A_HOST) from None
    if len(name) > MAX_HOST_CHARACTERS or not (is_ipv6 or HOST.fullmatch(name)) or "%" in name:
        raise ValueError(NOT_A_HOST)
    return name


def _ascii_name(name: str) -> str:
    """Return an international name as DNS encodes it. Raise ValueError if standards differ."""
    if AMBIGUOUS.search(name):
        raise ValueError
    return name.encode("idna").decode()


def one_line(value: str) -> str:
    """Return a label as one line without control characters."""
    line = " ".join(value.split())
    return "".join(c for c in line if c not in BIDI and unicodedata.category(c) != "Cc")


def _users(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return the allowed users. Raise ValueError if users cannot be known, or for an empty name."""
    if value and not info.data.get("trust_tailscale_identity"):
        raise ValueError("users are known only with trust_tailscale_identity = true")
    names = tuple(name.strip() for name in value)
    if not all(names):
        raise ValueError("an empty name would let everybody in: write names, or an empty list")
    return names


def _origin(value: str) -> str:
    """Return the origin of a website as a browser sends it."""
    text = value.strip().lower().removesuffix("/")
    match = re.fullmatch(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", text)
    if match is None:
        raise ValueError('write a scheme and a host, such as "https://box.example.ts.net"')
    return text.removesuffix({"http": ":80", "https": ":443"}[match[1]])


def _page_link(value: str) -> str:
    """Return the base of links to the page, without a slash at its end."""
    text = value.strip()
    match = re.fullmatch(r"(https?://[^\s/?#]+)(/[^\s?#]*)?", text, re.IGNORECASE)
    if text and not match:
        raise ValueError('write the URL of the page, such as "https://box.example.ts.net"')
    if match and (match[2] or "").strip("/"):
        raise ValueError(
            f'the page cannot be served under a path: write "{match[1]}", and give the page its own'
            " name or port"
        )
    return match[1] if match else ""


Duration = Annotated[timedelta, BeforeValidator(duration)]
Size = Annotated[int, BeforeValidator(_size), Field(le=MAX_INTEGER)]
Percent = Annotated[float, BeforeValidator(_percent)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
HistoryPath = Annotated[Path, BeforeValidator(_history_path)]
DatabasePath = Annotated[PurePath, PlainValidator(_database_path)]
TokenFile = Annotated[SecretStr | None, BeforeValidator(_token)]
UrlsFile = Annotated[Path | None, BeforeValidator(_urls_file)]
HeartbeatFile = Annotated[Path | None, BeforeValidator(_heartbeat_file)]
ServedAddress = Annotated[str, AfterValidator(served_address)]
NetworkName = Annotated[str, AfterValidator(_network)]
Host = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
Users = Annotated[tuple[str, ...], AfterValidator(_users)]
PageLink = Annotated[str, AfterValidator(_page_link)]
TablePattern = Annotated[str, Field(min_length=1, max_length=1000)]
Label = Annotated[str, Field(max_length=200), AfterValidator(one_line)]
