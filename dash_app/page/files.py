"""Our scripts and style sheets: each has a new address when it changes, so that it may be kept."""

from __future__ import annotations

import re
from pathlib import Path

ASSETS = Path(__file__).parents[2] / "assets"
URL = "/assets/"


def versioned(html: str) -> str:
    """Return HTML in which the addresses of our scripts and style sheets name their versions."""
    return re.sub(rf"{URL}([\w.-]+\.(?:css|js))", _address, html)


def _address(found: re.Match[str]) -> str:
    # As Dash names the version of those that it puts into the page itself.
    return f"{found[0]}?m={(ASSETS / found[1]).stat().st_mtime}"
