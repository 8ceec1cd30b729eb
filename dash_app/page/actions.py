"""What a person tells the service by a tap: that something was seen, or is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dash import Dash, Input, Output, State
from flask import abort, request

from dash_app.model.incident import Acknowledgement
from dash_app.page import ids
from dash_app.page.database import PREFIX
from dash_app.page.page import Page

LASTS: dict[str, timedelta | None] = {
    "1h": timedelta(hours=1),
    "8h": timedelta(hours=8),
    "24h": timedelta(hours=24),
    "end": None,
}
"""For how long somebody knows of an incident; None until it ends."""

MAX_DIGITS = 18
"""Maximum number of digits of an incident's id."""


def acknowledge(app: Dash, page: Page) -> None:
    """Give an app the callback that takes an acknowledgement and answers with the newest facts."""

    @app.callback(
        Output(ids.SNAPSHOT, "data", allow_duplicate=True),
        Output(ids.SNAPSHOT, "facts", allow_duplicate=True),
        Input(ids.SEEN, "data"),
        State(ids.URL, "pathname"),
        State(ids.URL, "search"),
        prevent_initial_call=True,
    )
    def acknowledge(
        seen: dict[str, Any] | None, path: str | None, search: str | None
    ) -> tuple[object, object]:
        try:
            _take(seen or {}, page)
        except (KeyError, TypeError, ValueError, OverflowError):
            abort(400)
        content = page.content(path, search)
        return content.pulse, content.html


def _take(seen: dict[str, Any], page: Page) -> None:
    """Pass on an acknowledgement. Raise KeyError, TypeError or ValueError for a malformed one."""
    if "incident" in seen:
        incident, known = int(seen["incident"][:MAX_DIGITS]), _known(seen["lasts"])
        page.sampler.acknowledge(incident, known)
    elif page.database_of(f"{PREFIX}{seen['database']}"):
        until = datetime.fromisoformat(seen["until"]).astimezone(UTC)
        page.sampler.see(seen["database"], until)
    else:
        abort(400)


def _known(lasts: str) -> Acknowledgement | None:
    """Return who knows, and until when; None where that is taken back. Raise KeyError otherwise."""
    if lasts == "none":
        return None
    now, length = datetime.now(UTC), LASTS[lasts]
    by = request.remote_user or request.remote_addr or "somebody"
    return Acknowledgement(by, now, now + length if length else None)
