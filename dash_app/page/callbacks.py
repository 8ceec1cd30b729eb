"""Joins the page to the clock: each tick the newest snapshot, each minute the newest points."""

from __future__ import annotations

import logging
import sqlite3
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dash import ClientsideFunction, Dash, Input, Output, State, html, no_update

from dash_app import VERSION, loader, words
from dash_app.history import query
from dash_app.page import charts, ids
from dash_app.page.cards import cards
from dash_app.page.headline import headline
from dash_app.page.lately import lately
from dash_app.page.layout import Content, facts, first_view, layout

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from dash_app.model import Reading, Snapshot
    from dash_app.sampler import Sampler
    from dash_app.settings import Settings

Pulse = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """What the page is drawn from."""

    settings: Settings
    sampler: Sampler
    started_at: datetime

    def layout(self) -> Component:
        """Return the page as it is now."""
        return layout(self.content(), self.settings, self.started_at)

    def first_response(self, index: str) -> str:
        """Return Dash's index with the facts of now in it, before any script has run."""
        content, snapshot = self.content(), self.sampler.snapshot
        view = first_view(content, snapshot.taken_at if snapshot else None)
        return index.replace("{%level%}", content.pulse["level"]).replace("{%first_view%}", view)

    def content(self) -> Content:
        """Return what the page shows of the newest snapshot."""
        snapshot, now = self.sampler.snapshot, datetime.now(UTC)
        pulse = self.pulse(snapshot, now)
        return Content(facts(headline(snapshot, now), self.cards(snapshot, now)), pulse)

    def cards(self, snapshot: Snapshot | None, now: datetime) -> list[Component]:
        """Return the cards of a snapshot, through the loader's frames, and what happened lately."""
        if snapshot is None:
            return []
        return [
            *cards(loader.status_frame(snapshot), loader.counts_frame(snapshot), now),
            lately(snapshot, self.started_at, now),
        ]

    def pulse(self, snapshot: Snapshot | None, now: datetime) -> Pulse:
        """Return what the browser needs to keep the time, the title and the icon itself.

        `version` changes with whatever the cards show, `recorded` with each new point.
        """
        statuses = snapshot.databases if snapshot else ()
        needing = [status.database.label for status in statuses if status.needs_you]
        recorded_at = self.sampler.recorded_at
        return {
            "build": VERSION,
            "takenAt": snapshot.taken_at.isoformat() if snapshot else None,
            "ageMs": round((now - snapshot.taken_at).total_seconds() * 1000) if snapshot else None,
            "intervalMs": round(self.settings.sampler.interval.total_seconds() * 1000),
            "level": snapshot.level if snapshot else "unknown",
            "needing": needing,
            "version": version_of(snapshot),
            "recorded": recorded_at.isoformat() if recorded_at else None,
        }

    def panels(self, chosen: charts.Range, zone: tzinfo) -> list[Component]:
        """Return the trends, through the loader's frame."""
        paused = self.sampler.history_paused
        try:
            return [
                *([html.P(paused, className="aside")] if paused else []),
                *self._panels(chosen, zone),
            ]
        except sqlite3.Error as error:
            log.error("history cannot be read: %s", error)
            return [html.P("The history can't be read now. Live counts go on.", className="aside")]

    def _panels(self, chosen: charts.Range, zone: tzinfo) -> list[Component]:
        path, every = self.settings.history.path, self.settings.history.every
        trends = loader.trend_frame(path, chosen.reach, charts.POINTS, every)
        if self.sampler.snapshot:
            trends = loader.with_present(trends, self.sampler.snapshot)
        since = {
            name: datetime.fromtimestamp(at, UTC) for name, at in query.watched_since(path).items()
        }
        return charts.panels(self.settings.databases, trends, since, chosen, zone)


def register(app: Dash, page: Page) -> None:
    """Give an app its layout and its callbacks."""
    app.layout = page.layout
    _follow_the_clock(app, page)
    _acknowledge(app, page)
    _draw_trends(app, page)
    for function, source in (("received", ids.SNAPSHOT), ("redraw", ids.FACTS)):
        app.clientside_callback(
            ClientsideFunction("missionControl", function), Input(source, "data")
        )


def _follow_the_clock(app: Dash, page: Page) -> None:
    @app.callback(
        Output(ids.FACTS, "data"),
        Output(ids.SNAPSHOT, "data"),
        Output(ids.RECORD, "data"),
        Input(ids.TICK, "n_intervals"),
        State(ids.SNAPSHOT, "data"),
        # A callback slower than its interval would otherwise never update the page.
        running=[(Output(ids.TICK, "disabled"), True, False)],
        prevent_initial_call=True,
    )
    def tick(_beat: int, known: Pulse | None) -> tuple[object, Pulse, object]:
        content, known = page.content(), known or {}
        pulse = content.pulse
        recorded = no_update if known.get("recorded") == pulse["recorded"] else pulse["recorded"]
        facts = no_update if known.get("version") == pulse["version"] else content.facts
        return facts, pulse, recorded


def _acknowledge(app: Dash, page: Page) -> None:
    @app.callback(
        Output(ids.FACTS, "data", allow_duplicate=True),
        Output(ids.SNAPSHOT, "data", allow_duplicate=True),
        Input(ids.SEEN, "data"),
        prevent_initial_call=True,
    )
    def acknowledge(seen: dict[str, Any]) -> tuple[object, object]:
        until = datetime.fromisoformat(seen["until"]).astimezone(UTC)
        page.sampler.acknowledge(str(seen["database"]), until)
        content = page.content()
        return content.facts, content.pulse


def _draw_trends(app: Dash, page: Page) -> None:
    @app.callback(
        Output(ids.RANGES, "children"),
        Output(ids.PANELS, "children"),
        Input(ids.URL, "search"),
        Input(ids.READER, "data"),
        Input(ids.RECORD, "data"),
        prevent_initial_call=True,
    )
    def draw(
        search: str | None, reader: dict[str, Any] | None, _recorded: str | None
    ) -> tuple[object, object]:
        chosen = charts.range_of(parse_qs((search or "").lstrip("?")).get("range", [""])[0])
        if not reader:
            return charts.choices(chosen), no_update
        return charts.choices(chosen), page.panels(chosen, _zone(reader.get("zone")))


def version_of(snapshot: Snapshot | None) -> int:
    """Return a number that changes with whatever the cards show of a snapshot."""
    shown = snapshot and [
        (s.level, s.since, s.fault, s.findings, s.activity, words.notes(s), *_shown(s.reading))
        for s in snapshot.databases
    ]
    return zlib.crc32(repr((shown, snapshot and snapshot.events)).encode())


def _shown(reading: Reading) -> tuple[object, ...]:
    return reading.last_modified, reading.tables


def _zone(name: object) -> tzinfo:
    try:
        return ZoneInfo(name) if isinstance(name, str) else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
