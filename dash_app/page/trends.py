"""The trends of a view: which panels there are, known before they are drawn, and their data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import cached_property

import pandas as pd
from dash.development.base_component import Component

from dash_app import loader
from dash_app.history import coverage
from dash_app.history.event_queries import EventQuery, events_page
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.model.measure import MeasureReport, Value
from dash_app.model.snapshot import Snapshot
from dash_app.page import charts
from dash_app.page.chart_choice import COMPARED, MEASURES, SHOWS, Choice, choice_links
from dash_app.page.charts import Mark, Note, Panel, TimeAxis
from dash_app.page.database_list import select
from dash_app.page.url_query import parse
from dash_app.page.widgets import moment
from dash_app.settings import Settings
from dash_app.words.events import event_text
from dash_app.words.incidents import labels_and_cause

Chosen = tuple[str, str, str]
"""A database, one of its measures, and the label of one of its values, empty for a single one."""


def _key(value: Chosen) -> str:
    """Return the name of a value's column. A label has no line breaks."""
    return "\n".join(value)


def _value_of(key: str) -> Chosen:
    database, name, label = key.split("\n", 2)
    return database, name, label


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
        shows = SHOWS | ({MEASURES: "Measures"} if self._reports else {})
        if self.database:
            metric = parse(self.search).get("show")
            measures = [report.measure for report in self._reports.values()]
            shows |= {one.metric: one.label for one in measures if one.metric == metric}
        return Choice.from_search(self.search, self.now - first, shows)

    @property
    def links(self) -> Component | None:
        """The links to other choices, once there is something to choose from."""
        has_charts = any(map(self._has_line, self._since.values()))
        return choice_links(self.choice, self.search) if has_charts else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said above the charts. On the overview, the history's notes are further up."""
        found = len(self._databases)
        if not found and not self.settings.databases:
            return ("Nothing recorded yet.",)
        own = self.snapshot.history_notes if self.snapshot and self.database else ()
        if self.choice.is_measure:
            total = sum(len(report.shown) or 1 for report in self._chosen.values())
            drawn, one = len(self._values), "a measure" if self.database else "a database"
            more = f"{drawn} of {total} values. Choose {one} for others."
            return (*own, more) if drawn < total else own
        if self.database or found <= charts.MAX_PANELS:
            return own
        is_all = found == len(self.settings.databases)
        more = ", those in trouble first. Filter by name for others." if is_all else " found."
        return (f"{charts.MAX_PANELS} of {found}{more}",)

    def panels(self) -> list[Panel]:
        """Return the panels. Those without anything to draw have a note instead."""
        if self.choice.is_measure:
            return self._measure_panels(self._values)
        if self.database:
            common = self._panel(self.database, self.database)
            return [
                replace(common, name=table, label=table, note=common.note or note)
                for table, note in self._tables(self.database)
            ]
        return [self._panel(name, label) for name, label in self._databases[: charts.MAX_PANELS]]

    def draw(self, zone: tzinfo) -> tuple[list[Component], Component]:
        """Return the charts, from the loader's trend frames, and what is below them."""
        choice, before, panels = self.choice, None, self.panels()
        trends = self._frame(self.now)
        if choice.is_measure:  # also of labels that are gone
            known = {_key(value) for value in self._values}
            gone = [_value_of(key) for key in trends.columns if key not in known]
            panels += self._measure_panels(gone[: max(charts.MAX_PANELS - len(panels), 0)])
            trends = self._with_present(trends)
        elif self.snapshot and not choice.is_rate:
            trends = loader.with_present(trends, self.snapshot, self.database)
        if choice.range.key in COMPARED:
            before = TimeAxis(self._frame(self.now - choice.range.reach), choice, zone)
        axis = TimeAxis(trends, choice, zone, before)
        return charts.draw_charts(panels, axis, self.database)

    def _frame(self, until: datetime) -> pd.DataFrame:
        """Return the loader's trend frame of the range that ends then."""
        choice, history = self.choice, self.settings.history
        points = charts.MAX_BARS if choice.is_rate else charts.MAX_POINTS
        trend = loader.Trend(
            choice.range.reach, points, history.every, self.database, choice.is_rate, until
        )
        if not choice.is_measure:
            return loader.trend_frame(history.path, trend)
        columns: dict[str, pd.Series[float]] = {}
        for (database, name), report in self._chosen.items():
            if any((database, name) == value[:2] for value in self._values):
                frame = loader.measure_trend_frame(history.path, database, report.measure, trend)
                columns |= {_key((database, name, str(label))): frame[label] for label in frame}
        trends = pd.DataFrame(columns, frame.index)
        trends.attrs = frame.attrs
        return trends

    def _with_present(self, trends: pd.DataFrame) -> pd.DataFrame:
        """Append the values of the snapshot to a frame, so that charts agree with the cards."""
        if self.snapshot is None:
            return trends
        present = {
            _key((*key, value.label or "")): pd.Series(
                [value.number], pd.DatetimeIndex([self.snapshot.taken_at]), dtype="Float64"
            )
            for key, report in self._chosen.items()
            if not report.is_old and self.snapshot.status_of(key[0]).status == "connected"
            for value in report.shown
        }
        extended = pd.concat([trends, pd.DataFrame(present)])
        extended.attrs = trends.attrs
        return extended

    @cached_property
    def _reports(self) -> dict[tuple[str, str], MeasureReport]:
        """The measures of this view, by database and name. The overview has the pinned ones."""
        names = [self.database] if self.database else [name for name, _ in self._databases]
        return {
            (status.database.name, report.measure.name): report
            for status in (self.snapshot.databases if self.snapshot else ())
            if status.database.name in names
            for report in status.measures
            if self.database or report.measure.is_pinned
        }

    @property
    def _chosen(self) -> dict[tuple[str, str], MeasureReport]:
        """The measures that are chosen, those with one number first."""
        metric = self.choice.metric
        reports = sorted(self._reports.items(), key=lambda item: len(item[1].shown) > 1)
        return {key: one for key, one in reports if metric in {"", one.measure.metric}}

    @cached_property
    def _values(self) -> list[Chosen]:
        """The values of the chosen measures that have a chart."""
        values = [
            (*key, value.label or "")
            for key, report in self._chosen.items()
            for value in report.shown or (Value(None, None),)
        ]
        return values[: charts.MAX_PANELS + (len(self._chosen) == 1)]  # and others

    def _measure_panels(self, values: list[Chosen]) -> list[Panel]:
        labels, shown = dict(self._databases), {database for database, _, _ in values}
        common = {name: self._panel(name, labels[name]) for name in shown}
        panels = []
        for database, name, label in values:
            measure = self._reports[database, name].measure
            parts = [measure.label, label] if self.choice.metric == "" else [label or measure.label]
            text = ": ".join(filter(None, parts))
            text = text if self.database else f"{labels[database]} · {text}"
            key = _key((database, name, label))
            panels.append(replace(common[database], name=key, label=text, unit=measure.unit))
        return panels

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
        path = self.settings.history.path
        written = coverage.find_coverage(path, database, None, self.now).written
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
