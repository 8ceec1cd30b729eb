"""What a person tells the service by a tap: that something was seen, or is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, State
from flask import request

from dash_app.incident import Acknowledgement
from dash_app.page import ids

if TYPE_CHECKING:
    from dash_app.page.page import Page

LASTS: dict[str, timedelta | None] = {
    "1h": timedelta(hours=1),
    "8h": timedelta(hours=8),
    "24h": timedelta(hours=24),
    "end": None,
}
"""For how long somebody knows of an incident; None until it ends."""


def acknowledge(app: Dash, page: Page) -> None:
    """Have an app take what a person tells, and answer with what is true then."""

    @app.callback(
        Output(ids.PARTS, "parts", allow_duplicate=True),
        Output(ids.AFTER, "parts", allow_duplicate=True),
        Output(ids.SNAPSHOT, "data", allow_duplicate=True),
        Input(ids.SEEN, "data"),
        State(ids.URL, "pathname"),
        State(ids.URL, "search"),
        prevent_initial_call=True,
    )
    def acknowledge(
        seen: dict[str, Any], path: str | None, search: str | None
    ) -> tuple[object, object, object]:
        if "incident" in seen:
            known = _known(str(seen["lasts"]))
            page.sampler.acknowledge(int(seen["incident"]), known)
        else:
            until = datetime.fromisoformat(seen["until"]).astimezone(UTC)
            page.sampler.see(str(seen["database"]), until)
        content = page.content(path, search)
        return content.facts[:2], content.facts[2:], content.pulse


def _known(lasts: str) -> Acknowledgement | None:
    """Return who knows, and until when; None where that is taken back."""
    if lasts not in LASTS:
        return None
    now, length = datetime.now(UTC), LASTS[lasts]
    by = request.remote_user or request.remote_addr or "somebody"
    return Acknowledgement(by, now, now + length if length else None)
