"""Joins the page to the clock: each tick the newest snapshot, each minute the newest points."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dash import Dash, Input, Output, State, no_update
from flask import abort

from dash_app.page import charts, ids
from dash_app.page.actions import acknowledge
from dash_app.page.chart_choice import View
from dash_app.page.layout import Content
from dash_app.page.page import Page, Pulse

ZONE = re.compile(r"[\w+/-]{1,64}", re.ASCII)
"""The form of a time zone's name."""


def register(app: Dash, page: Page) -> None:
    """Give an app its layout and its callbacks."""
    app.layout = page.layout
    _follow_the_clock(app, page)
    acknowledge(app, page)
    _draw_trends(app, page)


def _follow_the_clock(app: Dash, page: Page) -> None:
    @app.callback(
        Output(ids.SNAPSHOT, "data"),
        Output(ids.SNAPSHOT, "facts"),
        Output(ids.RECORD, "data"),
        Input(ids.TICK, "n_intervals"),
        State(ids.SNAPSHOT, "data"),
        State(ids.URL, "pathname"),
        State(ids.URL, "search"),
        # A callback slower than its interval would otherwise never update the page.
        running=[(Output(ids.TICK, "disabled"), True, False)],
        prevent_initial_call=True,
    )
    def tick(
        _beat: int, known: Pulse | None, path: str | None, search: str | None
    ) -> tuple[Pulse, object, object]:
        snapshot, now, known = page.sampler.snapshot, datetime.now(UTC), known or {}
        pulse = page.pulse(snapshot, now, path)
        recorded = no_update if known.get("recorded") == pulse["recorded"] else pulse["recorded"]
        if known.get("version") == pulse["version"]:
            return pulse, no_update, recorded
        content = Content(page.facts(snapshot, now, path, search), pulse)
        return pulse, content.html, recorded


def _draw_trends(app: Dash, page: Page) -> None:
    @app.callback(
        Output(ids.RANGES, "children"),
        Output(ids.PANELS, "children"),
        Input(ids.URL, "search"),
        Input(ids.READER, "data"),
        Input(ids.RECORD, "data"),
        State(ids.URL, "pathname"),
        prevent_initial_call=True,
    )
    def draw(
        search: str | None, reader: dict[str, Any] | None, _recorded: str | None, path: str | None
    ) -> tuple[object, object]:
        view = View.of(search)
        if not reader:
            return charts.choices(view), no_update
        return charts.choices(view), page.panels(path, view, _zone(reader.get("zone")))


def _zone(name: object) -> tzinfo:
    """Return a browser's time zone; UTC if it is not known here."""
    if name is None:
        return UTC
    if not isinstance(name, str) or not ZONE.fullmatch(name):
        abort(400)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):  # the latter for a folder, such as Europe
        return UTC
    except ValueError:
        abort(400)
