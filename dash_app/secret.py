"""Files that hold secret URLs: their owner's alone, and of a URL no more is shown than where to."""

from __future__ import annotations

import hashlib
import shlex
import stat
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO
SERVERS = frozenset(
    f"{scheme}{secured}"
    for scheme in ("http", "json", "xml", "form", "ntfy", "gotify", "mailto", "matrix", "mmost")
    for secured in ("", "s")
)
"""Schemes of which the host is that of a server, if it looks like one."""


def urls_in(path: Path) -> list[str]:
    """Return the URLs in an owner-only file, a line each, without comments.

    Raises ValueError, which says what to do, and OSError.
    """
    if path.stat().st_mode & OTHERS:
        raise ValueError(f"others may read it: chmod 600 {shlex.quote(str(path))}")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise ValueError("is no text") from None
    urls = [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise ValueError("is empty: write a URL a line into it")
    for number, url in enumerate(urls, 1):
        if not _is_url(url):
            raise ValueError(f"what it says as number {number} is no URL")
    return list(dict.fromkeys(urls))


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


def mark_of(url: str) -> str:
    """Return what tells a URL from others, and nobody what it is."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def _is_url(line: str) -> bool:
    scheme, found, rest = line.partition("://")
    return bool(found and rest) and scheme.isascii() and scheme.isalnum()
