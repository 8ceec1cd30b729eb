"""Our scripts and style sheets. Each URL contains a version, so that browsers may cache them."""

import base64
import hashlib
import re
from pathlib import Path

ASSETS = Path(__file__).parents[2] / "assets"
URL = "/assets/"
RECOVER = re.sub(r"^ *//.*\n", "", (ASSETS / "recover.js").read_text(), flags=re.MULTILINE)
"""The script that is part of the HTML itself, without its comments."""

RECOVER_HASH = f"'sha256-{base64.b64encode(hashlib.sha256(RECOVER.encode()).digest()).decode()}'"
"""The source expression that allows this script in a Content-Security-Policy."""


def versioned(html: str) -> str:
    """Return HTML with the version of each of our scripts and style sheets in its URL."""
    return re.sub(rf"{URL}([\w./-]+\.(?:css|js))", _versioned_url, html)


def _versioned_url(match: re.Match[str]) -> str:
    # The same query that Dash appends to assets that it puts into the page itself.
    return f"{match[0]}?m={(ASSETS / match[1]).stat().st_mtime}"
