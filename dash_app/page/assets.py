"""Our scripts and style sheets: each has a new address when it changes, so that it may be kept."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

ASSETS = Path(__file__).parents[2] / "assets"
URL = "/assets/"
RECOVER = re.sub(r"^ *//.*\n", "", (ASSETS / "recover.js").read_text(), flags=re.MULTILINE)
"""The script that is part of the page itself, without its comments."""

RECOVER_HASH = f"'sha256-{base64.b64encode(hashlib.sha256(RECOVER.encode()).digest()).decode()}'"
"""The source that allows that script in a Content-Security-Policy."""


def versioned(html: str) -> str:
    """Return HTML in which the addresses of our scripts and style sheets name their versions."""
    return re.sub(rf"{URL}([\w./-]+\.(?:css|js))", _address, html)


def _address(found: re.Match[str]) -> str:
    # As Dash names the version of those that it puts into the page itself.
    return f"{found[0]}?m={(ASSETS / found[1]).stat().st_mtime}"
