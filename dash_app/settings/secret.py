"""Files that hold a secret: their owner's alone, and never shown."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ValidationInfo

from dash_app.settings.values import path_or_none

OTHERS = stat.S_IRWXG | stat.S_IRWXO
SERVERS = frozenset(
    f"{scheme}{secured}"
    for scheme in ("http", "json", "xml", "form", "ntfy", "gotify", "mailto", "matrix", "mmost")
    for secured in ("", "s")
)
"""Schemes of which the host is that of a server, if it looks like one."""


def lines_of(path: Path) -> list[str]:
    """Return the lines of an owner-only file, without comments. Raises ValueError, OSError."""
    if path.stat().st_mode & OTHERS:
        raise ValueError(f"others may read it: chmod 600 {shlex.quote(str(path))}")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def place_of(url: str) -> str:
    """Return where a URL leads, by its scheme and host alone: the rest of it is a secret.

    Of schemes whose host may be a token itself, such as tgram, the scheme alone.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "a URL"
    is_server = parts.scheme in SERVERS and ("." in host or ":" in host or host == "localhost")
    return f"{parts.scheme}://{host}" if is_server else f"{parts.scheme}://"


def _with_urls(value: object, info: ValidationInfo) -> Path | None:
    """Return the path of a file that holds URLs; None for no file. Raises ValueError."""
    path = path_or_none(value, info)
    if path is None:
        return None
    try:
        lines = lines_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read: {error}") from None
    if not lines:
        raise ValueError("is empty: write a URL a line into it")
    for number, line in enumerate(lines, 1):
        if not _is_url(line):
            raise ValueError(f"what it says as number {number} is no URL")
    return path


def _with_web_address(value: object, info: ValidationInfo) -> Path | None:
    path = _with_urls(value, info)
    if path and not lines_of(path)[0].startswith(("http://", "https://")):
        raise ValueError("write the heartbeat's URL into it, with http:// or https://")
    return path


def _is_url(line: str) -> bool:
    scheme, found, rest = line.partition("://")
    return bool(found and rest) and scheme.isascii() and scheme.isalnum()


UrlsFile = Annotated[Path | None, BeforeValidator(_with_urls)]
WebAddressFile = Annotated[Path | None, BeforeValidator(_with_web_address)]
