"""The page: facts of the newest snapshot, charts from the history, and the browser's pulse."""

import logging
import sqlite3
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import cached_property, lru_cache
from html import escape
from typing import Any
from urllib.parse import urlsplit

from dash import html
from dash.development.base_component import Component
from flask import request

from dash_app import VERSION, loader
from dash_app.history import series
from dash_app.history.event_queries import EventQuery, events_page
from dash_app.history.openers import find_openers
from dash_app.model.problem import Level
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page import database as database_page
from dash_app.page import url_query
from dash_app.page.assets import ASSETS
from dash_app.page.charts import empty_charts
from dash_app.page.incidents import incidents
from dash_app.page.layout import Facts, first_view, layout
from dash_app.page.markup import draw, plain
from dash_app.page.overview import is_first_start, overview
from dash_app.page.recent_events import recent_events
from dash_app.page.trends import Trends
from dash_app.page.widgets import aside, data
from dash_app.sampler import Sampler
from dash_app.settings import Settings
from dash_app.words import summaries
from dash_app.words.history import HISTORY_UNREADABLE, history_disk
from dash_app.words.integrity import check_line, percent

Pulse = dict[str, Any]

MAX_EVENTS = 20
"""Maximum number of events in the view of a database."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """The page over the newest snapshot and the history."""

    settings: Settings
    sampler: Sampler
    started_at: datetime

    @cached_property
    def build(self) -> str:
        """An opaque build identifier. An open page reloads when it changes."""
        changed_at = max(path.stat().st_mtime_ns for path in ASSETS.iterdir())
        build = (VERSION, changed_at, self.settings.sampler.interval)
        return f"{zlib.crc32(repr(build).encode()):08x}"

    def layout(self) -> Component:
        """Return the layout for the page that the current request comes from."""
        path, search = _split(request.referrer or "")  # Dash requests the layout by its own path
        snapshot = self.sampler.snapshot
        facts, pulse = self.facts(snapshot, path, search), self.pulse(snapshot, path, search)
        return layout(facts, pulse, self.trends(path, search), self.started_at)

    def first_response(self, index: str) -> str:
        """Return Dash's index with the present facts in it, visible before any script has run."""
        snapshot = self.sampler.snapshot
        facts = self.facts(snapshot, request.path, request.query_string.decode(errors="replace"))
        view = first_view(facts, snapshot.taken_at if snapshot else None)
        index = index.replace("{%view_title%}", escape(self._title(None, request.path)))
        return index.replace("{%level%}", self._level(snapshot)).replace("{%first_view%}", view)

    def facts(
        self, snapshot: Snapshot | None, path: str | None, search: str | None = None
    ) -> Facts:
        """Return the facts of a snapshot for a URL's path and query."""
        database, now = self.database_of(path), datetime.now(UTC)
        if snapshot is None or database is None:
            return overview(snapshot, self.settings, search, self.started_at, now)
        details = self._details(snapshot, snapshot.status_of(database), now)
        own = incidents(snapshot, now, database)
        return database_page.view(details, search, now, own)

    def database_of(self, path: str | None) -> str | None:
        """Return the database whose view has this path; None for every other page."""
        name = (path or "").removeprefix(database_page.PREFIX)
        names = {database.name for database in self.settings.databases}
        return name if name in names and name != path else None

    def _level(self, snapshot: Snapshot | None) -> Level:
        """Return the level that dot and icon show: unknown until there is a database."""
        if not (snapshot and snapshot.databases) or is_first_start(snapshot, self.settings):
            return "unknown"
        return snapshot.shown_level

    def _title(self, snapshot: Snapshot | None, path: str | None) -> str:
        """Return the title of the tab, with the databases of a snapshot that need a person."""
        name = self.database_of(path)
        label = next((one.label for one in self.settings.databases if one.name == name), None)
        needing = snapshot.needing if snapshot else []
        return summaries.title(label, [s for s in needing if name in {None, s.database.name}])

    def _details(
        self, snapshot: Snapshot, status: DatabaseStatus, now: datetime
    ) -> database_page.Details:
        """Return the details of a database; only the snapshot's if the history cannot be read."""
        name, path = status.database.name, self.settings.history.path
        try:
            tables = loader.table_frame(path, status, now)
            size_before = series.size_a_day_ago(path, name, now)
            bytes_before = series.bytes_a_week_ago(path, name, now)
            events = events_page(path, EventQuery((name,), limit=MAX_EVENTS))[0]
            openers = [*find_openers(path, name)]
        except sqlite3.Error as error:
            log.error("history cannot be read: %s", error)
            tables, size_before, bytes_before = loader.table_frame(None, status, now), None, {}
            events = [event for event in snapshot.events if event.database == name]
            openers = []
        section = recent_events(snapshot, events, self.started_at, now, name)
        return database_page.Details(
            status,
            snapshot.incidents,
            tables,
            size_before,
            section,
            bytes_before,
            openers,
            self.settings.sampler.interval,
        )

    def pulse(
        self, snapshot: Snapshot | None, path: str | None, search: str | None = None
    ) -> Pulse:
        """Return the values by which the browser updates age, title and icon itself.

        `version` changes with each fact of the page, `recorded` with each new point.
        """
        recorded_at = snapshot.recorded_at if snapshot else None
        return {
            # The view of a database that is no longer watched reloads, and is not found.
            "build": f"{self.build}{self.database_of(path) or ''}",
            "takenAt": snapshot.taken_at.isoformat() if snapshot else None,
            "ageMs": round(self.sampler.age_seconds(snapshot) * 1000) if snapshot else None,
            "intervalMs": round(self.settings.sampler.interval.total_seconds() * 1000),
            "level": self._level(snapshot),
            "title": self._title(snapshot, path),
            "version": version_of(snapshot, self.database_of(path), search),
            "recorded": recorded_at.isoformat() if recorded_at else None,
        }

    def trends(
        self, path: str | None, search: str | None, zone: tzinfo | None = None
    ) -> tuple[str, list[Component], str]:
        """Return the links to choose from, the charts, and what is below them.

        Without a zone, placeholders. HTML changes in place, so that the focus and an open table
        stay; new components of Dash replace the former ones.
        """
        snapshot, database = self.sampler.snapshot, self.database_of(path)
        trends = Trends(self.settings, snapshot, database, search, datetime.now(UTC))
        try:
            charts, below = trends.draw(zone) if zone else empty_charts(trends.panels())
            links, parts = trends.links, [*map(aside, trends.notes), *charts]
        except sqlite3.Error as error:
            log.error("history cannot be read: %s", error)
            links, parts, below = None, [aside(HISTORY_UNREADABLE)], None
        parts += [plain(_drawn(snapshot, search))] if zone else []
        return draw(links), parts, draw(below)


def _drawn(snapshot: Snapshot | None, search: str | None) -> Component:
    """Return a mark by which the page's script sees of what the charts are that were drawn."""
    recorded_at = snapshot.recorded_at if snapshot else None
    newest = recorded_at.isoformat() if recorded_at else ""
    return html.Span(hidden="hidden", **data(drawn=f"{newest} {search or ''}"))


def _split(url: str) -> tuple[str, str]:
    """Return path and query of a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a client may send anything
        return "", ""
    return parts.path, parts.query


def version_of(
    snapshot: Snapshot | None, database: str | None = None, search: str | None = None
) -> int:
    """Return a number that changes with each fact on the page of one database, or of all."""
    query, own = url_query.parse(search), None
    if snapshot and database and (check := snapshot.status_of(database).integrity):
        own = percent(check), replace(check, checked_share=0)  # which changes at each tick
    measures = _measures(snapshot.status_of(database)) if snapshot and database else None
    shown = database, query, own, measures, snapshot and _fingerprint(snapshot)
    return zlib.crc32(repr(shown).encode())


@lru_cache(maxsize=1)
def _fingerprint(snapshot: Snapshot) -> int:
    """Return a number that changes with each fact of a snapshot; computed once for all viewers."""
    databases = [
        (
            status.database.name,
            status.level,
            status.since,
            status.problems,
            status.activity,
            summaries.notes(status),
            status.reading.last_modified,
            status.reading.tables,
            check_line(status),
            _measures(status, only_pinned=True),
        )
        for status in snapshot.databases
    ]
    incidents = [
        # The page also changes when an acknowledgement ends.
        (incident, incident.acknowledgement(snapshot.taken_at))
        for incident in snapshot.incidents
    ]
    own = (
        history_disk(snapshot),
        snapshot.history_notes,
        snapshot.gaps,
        snapshot.patterns,
        snapshot.found,
    )
    return zlib.crc32(repr((databases, snapshot.events, incidents, own)).encode())


def _measures(status: DatabaseStatus, *, only_pinned: bool = False) -> list[object]:
    """Return the facts of measures on the page. Of an age, that is its time, which stands still."""
    return [
        (
            report.measure.name,
            [(value.label, value.time or value.number) for value in report.values],
            report.error,
            None if only_pinned and not report.is_old else report.measured_at,
        )
        for report in status.measures
        if report.measure.is_pinned or not only_pinned
    ]
