"""The commands that read the history: `history`, `events` and `incidents`."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import click

from dash_app.api.csv_export import to_csv
from dash_app.api.serializers import history_document, incidents_document
from dash_app.cli.terminal import (
    Instant,
    config_option,
    database_option,
    history_file,
    load_settings,
    reject_unknown_databases,
    table,
)
from dash_app.history import series
from dash_app.history.chart_grid import Window
from dash_app.history.event_queries import EventQuery, find_events
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.history.series import MEASURE, Metric, Selection, Series
from dash_app.model.database import Database, measure_units
from dash_app.settings import Settings
from dash_app.words import numbers
from dash_app.words.commands import RUN
from dash_app.words.events import event_text
from dash_app.words.incidents import incident_line
from dash_app.words.measures import change_text, value_text

DEFAULT_RANGE = timedelta(hours=24)
MAX_POINTS = 500
"""Per series; the default of `/api/history`."""

DEFAULT_LIMIT = 50
UNKNOWN = "unknown"
NO_EVENTS = f"No events. Problems, such as late writes: {RUN} incidents"

HISTORY_EXAMPLES = f"""\b
Examples:
  {RUN} history                              rows of all tables, last 24 hours
  {RUN} history --database email --from 7d   one database, last week
  {RUN} history --metric inserted --from 1h  rows written in the last hour
  {RUN} history --metric measure:open_tasks  values of a measure
  {RUN} history --from 30d --csv > rows.csv  for a spreadsheet
  {RUN} history --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z

\b
Reads only the history, so the service does not need to run.
"""

EVENTS_EXAMPLES = f"""\b
Examples:
  {RUN} events                              the newest 50
  {RUN} events --since 24h                  the last day
  {RUN} events --database email --limit 5

\b
Reads only the history, so the service does not need to run.
"""


INCIDENTS_EXAMPLES = f"""\b
Examples:
  {RUN} incidents                           the newest 50
  {RUN} incidents --open                    the ones that have not ended
  {RUN} incidents --json | jq '.incidents[].text'

\b
Reads only the history, so the service does not need to run.
"""


class MetricName(click.Choice[str]):
    """A metric, or that of a measure."""

    def __init__(self) -> None:
        super().__init__((*get_args(Metric), "measure:NAME"))

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name of a metric."""
        return value if re.fullmatch(MEASURE, value) else super().convert(value, param, ctx)


@click.command(epilog=HISTORY_EXAMPLES)
@config_option
@database_option
@click.option(
    "--table", "tables", multiple=True, metavar="TABLE", help="Only this table; repeatable."
)
@click.option("--metric", type=MetricName(), default="rows", help="Default: rows.")
@click.option("--from", "since", type=Instant(), help="The start, such as 7d; default: 24h.")
@click.option("--to", "until", type=Instant(), help="The end; default: now.")
@click.option("--csv", "wants_csv", is_flag=True, help="Print the CSV of /api/history.")
def history(  # noqa: PLR0913 - one for each option
    config: Path | None,
    databases: tuple[str, ...],
    tables: tuple[str, ...],
    *,
    metric: str,
    since: datetime | None,
    until: datetime | None,
    wants_csv: bool,
) -> None:
    """Summarize how row counts, sizes and measures changed."""
    configured = load_settings(config)
    reject_unknown_databases(configured.names, databases)
    watched = tuple(database.name for database in configured.databases)
    selection = Selection(databases or watched, tables, metric)
    window = _window(configured, since, until)
    with history_file(configured) as path:
        found = list(series.find_series(path, selection, window))
    if wants_csv:
        click.echo(
            to_csv(history_document(found, configured.databases)["series"]).encode(), nl=False
        )
    elif found:
        click.echo(
            "\n".join(table(summarize(found, configured.databases), right=frozenset({2, 3, 4, 5})))
        )
    else:
        click.echo("Nothing recorded.")


@click.command(epilog=EVENTS_EXAMPLES)
@config_option
@database_option
@click.option("--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, help="Default: 50.")
@click.option("--since", type=Instant(), help="Only events from here on, such as 24h or a time.")
def events(
    config: Path | None, databases: tuple[str, ...], limit: int, since: datetime | None
) -> None:
    """List what changed in the databases, newest first.

    Problems that last, such as late writes, are listed by `incidents`.
    """
    configured = load_settings(config)
    reject_unknown_databases(configured.names, databases)
    with history_file(configured) as path:
        found = list(find_events(path, EventQuery(databases, limit=limit)))
    labels = {database.name: database.label for database in configured.databases}
    rows = [
        (
            _minute(event.at),
            labels.get(event.database, event.database),
            event_text(event) + (f" (ended {_minute(event.ended_at)})" if event.ended_at else ""),
        )
        for event in found
        if since is None or event.at >= since
    ]
    click.echo("\n".join(table(rows)) if rows else NO_EVENTS)


@click.command(epilog=INCIDENTS_EXAMPLES)
@config_option
@database_option
@click.option("--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, help="Default: 50.")
@click.option("--open", "only_open", is_flag=True, help="Show only open incidents.")
@click.option("--json", "as_json", is_flag=True, help="Print the document of /api/incidents.")
def incidents(
    config: Path | None, databases: tuple[str, ...], limit: int, *, only_open: bool, as_json: bool
) -> None:
    """List incidents with their causes, newest first."""
    configured = load_settings(config)
    reject_unknown_databases(configured.names, databases)
    query = IncidentQuery(databases, True if only_open else None, limit=limit)
    with history_file(configured) as path:
        found = find_incidents(path, query)
    if as_json:
        click.echo(json.dumps(incidents_document(found, query), indent=2))
    else:
        rows = [(_minute(incident.since), incident_line(incident)) for incident in found]
        click.echo("\n".join(table(rows)) if rows else "No incidents.")


def summarize(found: Sequence[Series], databases: Iterable[Database] = ()) -> list[tuple[str, ...]]:
    """Return a header and one row per series: its last, minimum and maximum value and its change.

    For rows written, the only number is their sum. All series are of one metric. The databases
    have the units of their measures.
    """
    if found and found[0].metric == "inserted":
        return [("DATABASE", "TABLE", "WRITTEN"), *map(_total, found)]
    is_measure = bool(found) and re.fullmatch(MEASURE, found[0].metric)
    header = ("DATABASE", "LABEL" if is_measure else "TABLE", "LAST", "MIN", "MAX", "CHANGE")
    units = measure_units(databases)
    return [header, *(_range(line, units.get((line.database, line.metric), "")) for line in found)]


def _total(series: Series) -> tuple[str, ...]:
    known = [value for _, value in series.points if value is not None]
    meanwhile = sum(rows for *_, rows in series.gaps)
    total = numbers.number(sum(known) + meanwhile) if known else UNKNOWN
    return series.database, series.table or "", total


def _range(series: Series, unit: str) -> tuple[str, ...]:
    names = series.database, series.table or series.label or ""
    known = [value for _, value in series.points if value is not None]
    if not known:
        return *names, *[UNKNOWN] * 4
    extremes = [*known, *(value for pair in series.ranges if pair for value in pair)]
    values = (known[-1], min(extremes), max(extremes))
    change = known[-1] - known[0]
    match series.metric:
        case "rows":
            return *names, *map(numbers.number, values), numbers.change(change)
        case "size_bytes" | "wal_bytes" | "table_bytes":
            return *names, *map(numbers.size, values), numbers.size_change(change)
    return *names, *(value_text(value, unit) for value in values), change_text(change, unit)


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _window(configured: Settings, since: datetime | None, until: datetime | None) -> Window:
    until = until or datetime.now(UTC)
    since = since or until - DEFAULT_RANGE
    if since >= until:
        raise click.UsageError("--from must be before --to.")
    every_seconds = configured.history.every.total_seconds()
    return Window.up_to(since, until, MAX_POINTS, every_seconds)
