"""The trends of a view: which panels there are, known before they are drawn, and their data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from dash.development.base_component import Component

from dash_app import loader
from dash_app.history import coverage
from dash_app.history.event_queries import EventQuery, events_page
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.model.snapshot import Snapshot
from dash_app.page import charts
from dash_app.page.charts import Choice, Mark, Panel, TimeAxis
from dash_app.page.database_list import select
from dash_app.page.widgets import moment
from dash_app.settings import Settings
from dash_app.words.events import event_text
from dash_app.words.incidents import labels_and_cause

MAX_MARKS = 100
"""Maximum number of faults, and of changes, that are marked."""


Note = tuple[Component | str, ...]


@dataclass(frozen=True, slots=True)
class Trends:
    """The trends of all databases, or of the tables of one. Every method raises sqlite3.Error."""

    settings: Settings
    snapshot: Snapshot | None
    database: str | None
    search: str | None
    now: datetime

    def choice(self) -> Choice:
        """Return what the URL chooses."""
        return Choice.from_search(
            self.search, self.now - min(self._since().values(), default=self.now)
        )

    def panels(self) -> list[Panel]:
        """Return the panels. Those without anything to draw have a note instead."""
        since, choice = self._since(), self.choice()
        shown = [(self.database, "")] if self.database else self._databases()
        marks = self._marks([name for name, _ in shown], choice)
        waiting = {name: self._waiting(since.get(name)) for name, _ in shown}
        start = self.now - choice.range.reach
        young = {name: first if first > start else None for name, first in since.items()}
        entries: list[tuple[str, str, str, Note]] = [
            (name, label, name, ()) for name, label in shown
        ]
        if database := self.database:
            tables = self._tables(database, choice)
            entries = [(table, table, database, note) for table, note in tables]
        return [
            Panel(name, label, marks[owner], waiting[owner] or note, young.get(owner))
            for name, label, owner, note in entries
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said above the charts. On the overview, the history's notes are further up."""
        total = len(self.settings.databases)
        if self.database or total <= charts.MAX_PANELS:
            return self.snapshot.history_notes if self.snapshot and self.database else ()
        shown = f"{len(self._databases())} of {total}, those in trouble first."
        return (f"{shown} Filter by name for others.",)

    def draw(self, zone: tzinfo) -> list[Component]:
        """Return the charts, from the loader's trend frames."""
        choice, history = self.choice(), self.settings.history
        reach, points = choice.range.reach, charts.MAX_BARS if choice.is_rate else charts.MAX_POINTS
        trend = loader.Trend(reach, points, history.every, self.database, is_rate=choice.is_rate)
        trends, before = loader.trend_frame(history.path, trend), None
        if choice.range.key in charts.COMPARED:
            before = loader.trend_frame(history.path, replace(trend, until=self.now - reach))
        if self.snapshot and not choice.is_rate:
            trends = loader.with_present(trends, self.snapshot, self.database)
        axis = TimeAxis.from_frame(trends, choice, zone)
        return charts.draw_charts(self.panels(), trends, before, axis, self.database)

    def _since(self) -> dict[str, datetime]:
        """Return since when databases have been watched."""
        first = coverage.first_watched(self.settings.history.path)
        names = {
            known.name for known in self.settings.databases if self.database in {None, known.name}
        }
        return {name: datetime.fromtimestamp(first[name], UTC) for name in names & first.keys()}

    def _databases(self) -> list[tuple[str, str]]:
        """Return names and labels of the databases to show: of many, those in trouble first."""
        databases = [(each.name, each.label) for each in self.settings.databases]
        if self.snapshot and len(databases) > charts.MAX_PANELS:
            statuses = select(self.snapshot.databases, self.search)
            troubled = [status for status in self.snapshot.needing if status in statuses]
            statuses = [*troubled, *(status for status in statuses if not status.needs_you)]
            databases = [(status.database.name, status.database.label) for status in statuses]
        return databases[: charts.MAX_PANELS]

    def _tables(self, database: str, choice: Choice) -> list[tuple[str, Note]]:
        """Return the tables, those with most rows first, and notes on those without new rows."""
        counts = self.snapshot.status_of(database).reading.tables if self.snapshot else {}
        written = coverage.find_coverage(self.settings.history.path, database, None).written
        rows = {table: count.rows or 0 for table, count in counts.items()}
        notes: dict[str, Note] = {}
        for table in rows or written:  # if the database is gone, its recorded tables
            last = written.get(table)
            is_silent = last is None or self.now - last > choice.range.reach
            when = (", last: ", moment(last, "clock", self.now)) if last else ()
            is_noted = choice.is_rate and is_silent
            notes[table] = (f"no row in {choice.range.label}", *when) if is_noted else ()
        ordered = sorted(notes.items(), key=lambda item: (-rows.get(item[0], 0), item[0]))
        drawn = [item for item in ordered if not item[1]]
        return [*drawn[: charts.MAX_PANELS], *(item for item in ordered if item[1])]

    def _waiting(self, since: datetime | None) -> Note:
        if since is None:
            return ("nothing read yet",)
        if self.now - since > 2 * self.settings.history.every:
            return ()
        begun = moment(since, "clock", self.now)
        return ("watching since ", begun, ". The line starts with the next change.")

    def _marks(self, names: list[str], choice: Choice) -> dict[str, tuple[Mark, ...]]:
        """Return the faults that began in the range, and the changes, by database."""
        path, since = self.settings.history.path, self.now - choice.range.reach
        query = IncidentQuery(tuple(names), limit=MAX_MARKS, ended_since=since)
        changes = EventQuery(tuple(names), charts.CHANGES, limit=MAX_MARKS)
        marks: list[tuple[str, Mark]] = [
            (name, (incident.since, "sign-fault", labels_and_cause(incident)[1]))
            for incident in find_incidents(path, query)
            for name in incident.databases
            if incident.level == "fault"
        ]
        marks += [
            (event.database, (event.at, "sign-change", event_text(event)))
            for event in events_page(path, changes)[0]
        ]
        return {name: tuple(mark for owner, mark in marks if owner == name) for name in names}
