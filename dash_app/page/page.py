"""What the page shows of the newest snapshot and of the history, wherever it is asked for."""

from __future__ import annotations

import logging
import sqlite3
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
from dash import html
from dash.development.base_component import Component
from flask import request

from dash_app import VERSION, loader
from dash_app.history import series
from dash_app.history.event_queries import Wanted, page_of
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page import charts
from dash_app.page import database as database_page
from dash_app.page.assets import ASSETS
from dash_app.page.cards import cards
from dash_app.page.chart_choice import View
from dash_app.page.headline import headline
from dash_app.page.incidents import incidents, shown
from dash_app.page.layout import Content, facts, first_view, layout
from dash_app.page.recent_events import lately
from dash_app.sampler import Sampler
from dash_app.settings import Settings
from dash_app.words import summaries
from dash_app.words.history import HISTORY_UNREADABLE, history_disk

Pulse = dict[str, Any]

MAX_EVENTS = 20
"""So many events are shown in the view of a database."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """What the page is drawn from."""

    settings: Settings
    sampler: Sampler
    started_at: datetime

    @cached_property
    def build(self) -> str:
        """What an open page was made for, told by nothing but that it differs: then it reloads."""
        names = [database.name for database in self.settings.databases]
        changed_at = max(path.stat().st_mtime_ns for path in ASSETS.iterdir())
        made_for = (VERSION, changed_at, names, self.settings.sampler.interval)
        return f"{zlib.crc32(repr(made_for).encode()):08x}"

    def layout(self) -> Component:
        """Return the page that was asked for, as it is now."""
        path = _path_of(request.referrer or "")  # Dash asks for the layout by another path
        database = self.database_of(path)
        return layout(self.content(path), self.labels(database), self.settings, self.started_at)

    def first_response(self, index: str) -> str:
        """Return Dash's index with the facts of now in it, before any script has run."""
        content = self.content(request.path, request.query_string.decode())
        snapshot = self.sampler.snapshot
        view = first_view(content, snapshot.taken_at if snapshot else None)
        return index.replace("{%level%}", content.pulse["level"]).replace("{%first_view%}", view)

    def content(self, path: str | None, search: str | None = None) -> Content:
        """Return what a page shows of the newest snapshot."""
        snapshot, now = self.sampler.snapshot, datetime.now(UTC)
        return Content(self.facts(snapshot, now, path, search), self.pulse(snapshot, now, path))

    def facts(
        self, snapshot: Snapshot | None, now: datetime, path: str | None, search: str | None
    ) -> list[Component]:
        """Return what a page draws of a snapshot."""
        database = self.database_of(path)
        if database and snapshot:
            return self._view(snapshot, database, search, now)
        told = headline(snapshot, now)
        return facts(told, self.cards(snapshot, now), self.incidents(snapshot, now))

    def database_of(self, path: str | None) -> str | None:
        """Return the database that a path is the view of; None for every other page."""
        name = (path or "").removeprefix(database_page.PREFIX)
        names = {database.name for database in self.settings.databases}
        return name if name in names and name != path else None

    def labels(self, database: str | None) -> list[str]:
        """Return what the trends of a page will show: databases, or the tables of one."""
        if database is None:
            return [one.label for one in self.settings.databases]
        snapshot = self.sampler.snapshot
        tables = snapshot.of(database).reading.tables if snapshot else {}
        return list(tables)[: charts.MAX_PANELS]

    def cards(self, snapshot: Snapshot | None, now: datetime) -> list[Component]:
        """Return the cards of a snapshot, through the loader's frames, and what happened lately."""
        if snapshot is None:
            return []
        return [
            *cards(loader.status_frame(snapshot), loader.counts_frame(snapshot), now),
            lately(snapshot, self.started_at, now),
        ]

    def incidents(
        self, snapshot: Snapshot | None, now: datetime, database: str | None = None
    ) -> Component:
        """Return the incidents of a database, or of all."""
        entries = shown(snapshot.incidents if snapshot else (), now, database)
        return incidents(entries, snapshot, now)

    def _view(
        self, snapshot: Snapshot, database: str, search: str | None, now: datetime
    ) -> list[Component]:
        status, path = snapshot.of(database), self.settings.history.path
        row = next(
            row
            for row in loader.status_frame(snapshot).itertuples(index=False)
            if row.name == database
        )
        known = self._known(path, status, row, now)
        sort = parse_qs((search or "").lstrip("?")).get("sort", [""])[0]
        return database_page.view(known, sort, now, self.incidents(snapshot, now, database))

    def _known(
        self,
        path: Path,
        status: DatabaseStatus,
        row: Any,  # noqa: ANN401 - of a frame
        now: datetime,
    ) -> database_page.Known:
        """Return the facts for a database's view, without history if that cannot be read."""
        name = status.database.name
        try:
            tables = loader.table_frame(path, status, now)
            size_before = series.size_before(path, name, now)
            events = page_of(path, Wanted((name,), most=MAX_EVENTS))[0]
        except sqlite3.Error as error:
            log.error("history cannot be read: %s", error)
            tables, size_before = loader.table_frame(None, status, now), None
            snapshot = self.sampler.snapshot
            newest = snapshot.events if snapshot else ()
            events = [event for event in newest if event.database == name]
        return database_page.Known(status, row, tables, size_before, events)

    def pulse(self, snapshot: Snapshot | None, now: datetime, path: str | None) -> Pulse:
        """Return what the browser needs to keep the time, the title and the icon itself.

        `version` changes with whatever the cards show, `recorded` with each new point.
        """
        statuses = snapshot.databases if snapshot else ()
        needing = [status.database.label for status in statuses if status.needs_you]
        recorded_at = self.sampler.recorded_at
        return {
            "build": self.build,
            "takenAt": snapshot.taken_at.isoformat() if snapshot else None,
            "ageMs": round(self.sampler.age_seconds * 1000) if snapshot else None,
            "intervalMs": round(self.settings.sampler.interval.total_seconds() * 1000),
            "level": snapshot.level if snapshot else "unknown",
            "needing": needing,
            "version": version_of(snapshot, self.database_of(path), _told(snapshot, now)),
            "recorded": recorded_at.isoformat() if recorded_at else None,
        }

    def panels(self, path: str | None, view: View, zone: tzinfo) -> list[Component]:
        """Return the trends, through the loader's frame."""
        snapshot, database = self.sampler.snapshot, self.database_of(path)
        # The overview has them under its headline.
        notes = snapshot.history_notes if snapshot and database else ()
        try:
            return [
                *(html.P(note, className="aside") for note in notes),
                *self._panels(database, view, zone),
            ]
        except sqlite3.Error as error:
            log.error("history cannot be read: %s", error)
            return [html.P(HISTORY_UNREADABLE, className="aside")]

    def _panels(self, database: str | None, view: View, zone: tzinfo) -> list[Component]:
        snapshot, history = self.sampler.snapshot, self.settings.history
        every, is_rate = history.every, view.is_rate
        points = charts.MAX_BARS if is_rate else charts.POINTS
        trend = loader.Trend(view.chosen.reach, points, every, database, is_rate=is_rate)
        trends = loader.trend_frame(history.path, trend)
        if snapshot and not is_rate:
            trends = loader.with_present(trends, snapshot, database)
        if trends.dropna(how="all").empty:
            return [html.P("Charts start once a database is connected.", className="aside")]
        wanted, now = self._wanted(database, trends), datetime.now(UTC)
        return [
            *charts.panels(wanted, trends, view, zone),
            charts.elsewhere(
                charts.as_table(wanted, trends, zone), charts.csv_link(view, database, now)
            ),
        ]

    def _wanted(self, database: str | None, trends: pd.DataFrame) -> list[charts.Panel]:
        path = self.settings.history.path
        since = {
            name: datetime.fromtimestamp(at, UTC) for name, at in series.watched_since(path).items()
        }
        if database:
            # Of a database that is gone, the charts show what there was.
            tables = self.labels(database) or list(trends.columns[: charts.MAX_PANELS])
            return [charts.Panel(table, table, since.get(database)) for table in tables]
        events = self.sampler.snapshot.events if self.sampler.snapshot else ()
        return [
            charts.Panel(
                one.name,
                one.label,
                since.get(one.name),
                tuple(event for event in events if event.database == one.name),
            )
            for one in self.settings.databases
        ]


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # any client may send anything
        return ""


def version_of(
    snapshot: Snapshot | None, database: str | None = None, incidents: object = None
) -> int:
    """Return a number that changes with whatever a page shows of a snapshot and of incidents."""
    shown = snapshot and [
        (s.level, s.since, s.problems, s.activity, summaries.notes(s), *_shown(s.reading))
        for s in snapshot.databases
    ]
    around = snapshot and (
        snapshot.events,
        history_disk(snapshot),
        snapshot.history_notes,
    )
    return zlib.crc32(repr((database, shown, around, incidents)).encode())


def _told(snapshot: Snapshot | None, now: datetime) -> list[object]:
    """Return what incidents show, which an acknowledgement's end changes too."""
    found = shown(snapshot.incidents if snapshot else (), now)
    return [(entry, (known := entry.incident.acknowledged) and known.holds(now)) for entry in found]


def _shown(reading: Reading) -> tuple[object, ...]:
    return reading.last_modified, reading.tables
