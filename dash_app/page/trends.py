"""The trends of a view: which panels there are, known before they are drawn, and their data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import cached_property

from dash.development.base_component import Component

from dash_app import loader
from dash_app.history import coverage
from dash_app.history.event_queries import EventQuery, events_page
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.model.snapshot import Snapshot
from dash_app.page import charts
from dash_app.page.charts import Choice, Mark, Note, Panel, TimeAxis
from dash_app.page.database_list import select
from dash_app.page.widgets import moment
from dash_app.settings import Settings
from dash_app.words.events import event_text
from dash_app.words.incidents import labels_and_cause


@dataclass(frozen=True)
class Trends:
    """The trends of all databases, or of the tables of one. Everything raises sqlite3.Error."""

    settings: Settings
    snapshot: Snapshot | None
    database: str | None
    search: str | None
    now: datetime

    @cached_property
    def choice(self) -> Choice:
        """What the URL chooses, by how long the databases of this view have been watched."""
        first = min(self._since.values(), default=self.now)
        return Choice.from_search(self.search, self.now - first)

    @property
    def links(self) -> list[Component]:
        """The links to other choices, once there is something to choose from."""
        has_charts = any(map(self._has_line, self._since.values()))
        return charts.choice_links(self.choice, self.search) if has_charts else []

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said above the charts. On the overview, the history's notes are further up."""
        found = len(self._databases)
        if not found and not self.settings.databases:
            return ("Nothing recorded yet.",)
        if self.database or found <= charts.MAX_PANELS:
            return self.snapshot.history_notes if self.snapshot and self.database else ()
        is_all = found == len(self.settings.databases)
        more = ", those in trouble first. Filter by name for others." if is_all else " found."
        return (f"{charts.MAX_PANELS} of {found}{more}",)

    def panels(self) -> list[Panel]:
        """Return the panels. Those without anything to draw have a note instead."""
        if self.database:
            common = self._panel(self.database, self.database)
            return [
                replace(common, name=table, label=table, note=common.note or note)
                for table, note in self._tables(self.database)
            ]
        return [self._panel(name, label) for name, label in self._databases[: charts.MAX_PANELS]]

    def draw(self, zone: tzinfo) -> list[Component]:
        """Return the charts, from the loader's trend frames."""
        choice, history, before = self.choice, self.settings.history, None
        reach, points = choice.range.reach, charts.MAX_BARS if choice.is_rate else charts.MAX_POINTS
        trend = loader.Trend(reach, points, history.every, self.database, is_rate=choice.is_rate)
        trends = loader.trend_frame(history.path, trend)
        if self.snapshot and not choice.is_rate:
            trends = loader.with_present(trends, self.snapshot, self.database)
        if choice.range.key in charts.COMPARED:
            earlier = loader.trend_frame(history.path, replace(trend, until=self.now - reach))
            before = TimeAxis(earlier, choice, zone)
        axis = TimeAxis(trends, choice, zone, before)
        return charts.draw_charts(self.panels(), axis, self.database)

    @cached_property
    def _since(self) -> dict[str, datetime]:
        """Since when the databases of this view have been watched."""
        first = coverage.first_watched(self.settings.history.path)
        names = (
            [self.database] if self.database else [each.name for each in self.settings.databases]
        )
        return {name: datetime.fromtimestamp(first[name], UTC) for name in names if name in first}

    @cached_property
    def _databases(self) -> list[tuple[str, str]]:
        """Names and labels of the databases found: of many, those in trouble first."""
        databases = [(each.name, each.label) for each in self.settings.databases]
        if self.snapshot and len(databases) > charts.MAX_PANELS:
            statuses = select(self.snapshot.databases, self.search)
            troubled = [status for status in self.snapshot.needing if status in statuses]
            statuses = [*troubled, *(status for status in statuses if not status.needs_you)]
            databases = [(status.database.name, status.database.label) for status in statuses]
        return databases

    def _panel(self, name: str, label: str) -> Panel:
        since = self._since.get(name)
        if since is None:
            return Panel(name, label, note=("nothing read yet",))
        if not self._has_line(since):
            begun = moment(since, "clock", self.now)
            note = ("watching since ", begun, ". The line starts with the next change.")
            return Panel(name, label, note=note)
        is_young = since > self.now - self.choice.range.reach
        return Panel(name, label, self._marks(name), since=since if is_young else None)

    def _has_line(self, since: datetime) -> bool:
        """Whether a database that is watched since then has at least two points."""
        return self.now - since > 2 * self.settings.history.every

    def _tables(self, database: str) -> list[tuple[str, Note]]:
        """Return the tables, those with most rows first, and notes on those without new rows."""
        counts = self.snapshot.status_of(database).reading.tables if self.snapshot else {}
        written = coverage.find_coverage(self.settings.history.path, database, None).written
        rows = {table: count.rows or 0 for table, count in counts.items()}
        drawn: list[tuple[str, Note]] = []
        noted: list[tuple[str, Note]] = []
        # If the database is gone, its recorded tables.
        for table in sorted(rows or written, key=lambda table: (-rows.get(table, 0), table)):
            last, chosen = written.get(table), self.choice.range
            if self.choice.is_rate and (last is None or self.now - last > chosen.reach):
                when = (", last: ", moment(last, "clock", self.now)) if last else ()
                noted.append((table, (f"no row in {chosen.label}", *when)))
            else:
                drawn.append((table, ()))
        return [*drawn[: charts.MAX_PANELS], *noted]

    def _marks(self, database: str) -> tuple[Mark, ...]:
        """Return the faults that began in the range, and the changes."""
        path, since = self.settings.history.path, self.now - self.choice.range.reach
        incidents = find_incidents(path, IncidentQuery((database,), ended_since=since))
        changes, _ = events_page(path, EventQuery((database,), charts.CHANGES))
        faults = [(one.fault[0], labels_and_cause(one)[1]) for one in incidents if one.fault]
        return (
            *((since, "sign-fault", cause) for since, cause in faults),
            *((change.at, "sign-change", event_text(change)) for change in changes),
        )
