"""Secret files: a bearer token, or URLs."""

import hashlib
import re
import shlex
import stat
from pathlib import Path
from urllib.parse import urlsplit

from dash_app.system.text_file import read_text

TOKEN = re.compile(r"[ -~]+")
"""Characters that an HTTP header can carry (RFC 9110, section 5.5)."""

URL = re.compile(r"[A-Za-z0-9]+://.")
MAX_TOKEN_BYTES = 4096
SERVERS = frozenset(
    f"{scheme}{secured}"
    for scheme in ("http", "json", "xml", "form", "ntfy", "gotify", "mailto", "matrix", "mmost")
    for secured in ("", "s")
)
"""Schemes whose host, if it looks like one, is a server and not a secret."""


def read_token(path: Path) -> str:
    """Read the token in a file that only its owner and group can read.

    Raise OSError, or ValueError with the fix.
    """
    text, mode = read_text(path, MAX_TOKEN_BYTES)
    if mode & stat.S_IRWXO:
        raise ValueError(f"can be read by every user of this machine: chmod 600 {_quoted(path)}")
    if not (token := text.strip()):
        raise ValueError("is empty: put the token into it")
    if not TOKEN.fullmatch(token):
        raise ValueError("must contain a single token: one line of ASCII")
    return token


def read_urls(path: Path) -> list[str]:
    """Read the URLs in a file that only its owner can read: one per line, without comments.

    Raise OSError, or ValueError with the fix.
    """
    text, mode = read_text(path)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"can be read by other users: chmod 600 {_quoted(path)}")
    lines = [line.strip() for line in text.splitlines()]
    urls = [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise ValueError("is empty: add one URL per line")
    for number, url in enumerate(urls, 1):
        if not URL.match(url):
            raise ValueError(f"entry {number} is not a URL")
    return list(dict.fromkeys(urls))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def redact(url: str) -> str:
    """Return only the scheme and host of a URL, since the rest is secret.

    In schemes such as tgram the host may be a token too: then return only the scheme.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "a URL"
    is_server = parts.scheme in SERVERS and ("." in host or ":" in host or host == "localhost")
    return f"{parts.scheme}://{host}" if is_server else f"{parts.scheme}://"


def digest(url: str) -> str:
    """Return a hash that identifies a URL without revealing it."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]
