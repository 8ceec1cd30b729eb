"""The callbacks: facts at each tick or acknowledgement, and charts when the page asks."""

from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dash import Dash, Input, Output, State, ctx, no_update
from flask import abort, request

from dash_app.model.incident import Acknowledgement
from dash_app.page import ids
from dash_app.page.acknowledging import DURATIONS
from dash_app.page.database import PREFIX
from dash_app.page.page import Page, Pulse

MAX_DIGITS = 18
"""Maximum number of digits of an incident's id."""


def register(app: Dash, page: Page) -> None:
    """Give an app its layout and its callbacks."""
    app.layout = page.layout
    _update_facts(app, page)
    _draw_charts(app, page)


def _update_facts(app: Dash, page: Page) -> None:
    @app.callback(
        Output(ids.SNAPSHOT, "data"),
        Output(ids.SNAPSHOT, "facts"),
        Input(ids.TICK, "n_intervals"),
        Input(ids.URL, "search"),
        Input(ids.ACTION, "data"),
        State(ids.SNAPSHOT, "data"),
        State(ids.URL, "pathname"),
        # Without this, a callback slower than its interval would never update the page.
        running=[(Output(ids.TICK, "disabled"), True, False)],
        prevent_initial_call=True,
    )
    def update(
        _intervals: int,
        search: str | None,
        action: dict[str, Any] | None,
        previous: Pulse | None,
        path: str | None,
    ) -> tuple[Pulse, object]:
        if ids.ACTION in ctx.triggered_prop_ids.values():
            _perform(action or {}, page)
        snapshot = page.sampler.snapshot
        pulse = page.pulse(snapshot, path, search)
        if previous and previous.get("version") == pulse["version"]:
            return pulse, no_update
        return pulse, page.facts(snapshot, path, search).html


def _perform(action: dict[str, Any], page: Page) -> None:
    """Pass an acknowledgement on. Abort if it is malformed."""
    acknowledgement, now = None, datetime.now(UTC)
    try:
        if action["acknowledge"] != "undo":
            _, length = DURATIONS[action["acknowledge"]]
            by = request.remote_user or request.remote_addr or "somebody"
            acknowledgement = Acknowledgement(by, now, now + length if length else None)
        incidents = {int(id_[:MAX_DIGITS]) for id_ in (action.get("incidents") or "").split()}
        until = datetime.fromisoformat(action["until"]).astimezone(UTC)
        if (name := action.get("database")) and not page.database_of(f"{PREFIX}{name}"):
            abort(400)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        abort(400)
    if name:
        page.sampler.dismiss(name, until)
    page.sampler.acknowledge(incidents, acknowledgement)


def _draw_charts(app: Dash, page: Page) -> None:
    @app.callback(
        Output(ids.RANGES, "html"),
        Output(ids.PANELS, "children"),
        Output(ids.BELOW_CHARTS, "html"),
        Input(ids.BROWSER, "data"),
        State(ids.URL, "pathname"),
        State(ids.URL, "search"),
        prevent_initial_call=True,
    )
    def draw(
        browser: dict[str, Any] | None, path: str | None, search: str | None
    ) -> tuple[object, ...]:
        return page.trends(path, search, _zone((browser or {}).get("zone")))


def _zone(name: str | None) -> tzinfo:
    """Return a browser's time zone, or UTC if it is not installed here. Abort if malformed."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, IsADirectoryError):  # a folder, such as Europe
        return UTC
    except (OSError, TypeError, ValueError):
        abort(400)
