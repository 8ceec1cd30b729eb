"""The kinds of values that a configuration may hold, each refused with what is allowed."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


def _duration(value: object) -> timedelta:
    amount, unit = _quantity(value, DURATION_UNITS, '"250ms", "5s", "1m", "12h" or "400d"')
    return timedelta(seconds=amount * DURATION_UNITS[unit])


def _size(value: object) -> int:
    amount, unit = _quantity(value, SIZE_UNITS, '"500MB" or "2GB"')
    return int(amount * SIZE_UNITS[unit])


def _quantity(value: object, units: Mapping[str, float], examples: str) -> tuple[float, str]:
    match = (
        re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+)", value) if isinstance(value, str) else None
    )
    if match is None or match[2] not in units:
        raise ValueError(f"write a number and a unit, such as {examples}")
    return float(match[1]), match[2]


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("write a path in quotes")
    folder: Path = info.context["folder"] if info.context else Path.cwd()
    return folder / Path(value).expanduser()


def path_or_none(value: object, info: ValidationInfo) -> Path | None:
    """Return a path; None for no file. Raises ValueError."""
    return None if value in {"", None} else _path(value, info)


def file_with_token(value: object, info: ValidationInfo) -> Path | None:
    """Return the path of a file that holds a token; None for no file. Raises ValueError."""
    path = path_or_none(value, info)
    if path is None:
        return None
    try:
        if path.read_text(encoding="utf-8").strip():
            return path
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read: {error}") from None
    raise ValueError("is empty: write the token into it")


def address(value: str) -> str:
    """Return an address to serve at, by a word for it or as such. Raises ValueError."""
    return value if value in {"loopback", "tailscale"} else str(ip_address(value))


def network(value: str) -> str:
    """Return a network that may ask, by a word for it or as such. Raises ValueError."""
    return value if value in {"loopback", "tailscale"} else str(ip_network(value))


def users(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return who may ask, of those whom Tailscale names. Raises ValueError."""
    if value and not info.data.get("trust_tailscale_identity"):
        raise ValueError("who asks is known only with trust_tailscale_identity = true")
    return value


def origin(value: str) -> str:
    """Return the origin of a page that may read the answers. Raises ValueError."""
    if not re.fullmatch(r"https?://[a-z0-9.\[\]:-]+", value):
        raise ValueError('write a scheme and a host, such as "https://box.example.ts.net"')
    return value


def page_link(value: str) -> str:
    """Return the base of links, without a slash at its end. Raises ValueError."""
    if value and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError('write where the page is, such as "https://box.example.ts.net"')
    return value.rstrip("/")


def between(least: timedelta, most: timedelta, words: str) -> AfterValidator:
    """Return what refuses a duration outside a range, told in these words."""

    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"must lie between {words}")
        return value

    return AfterValidator(check)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]
ConfigPath = Annotated[Path, BeforeValidator(_path)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
