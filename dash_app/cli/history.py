"""The commands that read the history: `history`, `events` and `incidents`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict, Unpack, get_args

import click

from dash_app import settings
from dash_app.api.csv_export import to_csv
from dash_app.api.serializers import history_document, incidents_document
from dash_app.cli.history_summary import summarize
from dash_app.cli.terminal import (
    Instant,
    config_option,
    database_option,
    history_file,
    reject_unknown_databases,
    table,
)
from dash_app.history import series
from dash_app.history.chart_grid import Window
from dash_app.history.event_queries import EventQuery, find_events
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.history.series import Metric, Selection
from dash_app.settings import Settings
from dash_app.words.events import event_text
from dash_app.words.incidents import incident_line

DEFAULT_RANGE = timedelta(hours=24)
MAX_POINTS = 500
"""Per series; the default of `/api/history`."""

DEFAULT_LIMIT = 50

HISTORY_EXAMPLES = """\b
Examples:
  ./ops/run history                              rows of all tables, last 24 hours
  ./ops/run history --database email --from 7d   one database, last week
  ./ops/run history --metric inserted --from 1h  rows written in the last hour
  ./ops/run history --from 30d --csv > rows.csv  for a spreadsheet
  ./ops/run history --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z

\b
Reads only the history, so the service does not need to run.
"""

EVENTS_EXAMPLES = """\b
Examples:
  ./ops/run events                              the newest 50
  ./ops/run events --since 24h                  the last day
  ./ops/run events --database email --limit 5

\b
Reads only the history, so the service does not need to run.
"""


INCIDENTS_EXAMPLES = """\b
Examples:
  ./ops/run incidents                           the newest 50
  ./ops/run incidents --open                    the ones that have not ended
  ./ops/run incidents --json | jq '.incidents[].text'

\b
Reads only the history, so the service does not need to run.
"""


class HistoryOptions(TypedDict):
    """The options of `history` that select series and time."""

    databases: tuple[str, ...]
    tables: tuple[str, ...]
    metric: Metric
    since: datetime | None
    until: datetime | None


@click.command(epilog=HISTORY_EXAMPLES)
@config_option
@database_option
@click.option(
    "--table", "tables", multiple=True, metavar="TABLE", help="Only this table; repeatable."
)
@click.option(
    "--metric", type=click.Choice(get_args(Metric)), default="rows", help="Default: rows."
)
@click.option("--from", "since", type=Instant(), help="The start, such as 7d; default: 24h.")
@click.option("--to", "until", type=Instant(), help="The end; default: now.")
@click.option("--csv", "wants_csv", is_flag=True, help="Print the CSV of /api/history.")
def history(config: Path | None, *, wants_csv: bool, **options: Unpack[HistoryOptions]) -> None:
    """Summarize how row counts and sizes changed."""
    configured = settings.load(config)
    reject_unknown_databases(configured, options["databases"])
    selection = Selection(options["databases"], options["tables"], options["metric"])
    window = _window(configured, options["since"], options["until"])
    with history_file(configured) as path:
        found = list(series.find_series(path, selection, window))
    if wants_csv:
        click.echo(to_csv(history_document(found)["series"]).encode(), nl=False)
    elif found:
        click.echo("\n".join(table(summarize(found), right=frozenset({2, 3, 4, 5}))))
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
    """List events, newest first."""
    configured = settings.load(config)
    reject_unknown_databases(configured, databases)
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
    click.echo("\n".join(table(rows)) if rows else "No events.")


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
    configured = settings.load(config)
    reject_unknown_databases(configured, databases)
    query = IncidentQuery(databases, True if only_open else None, limit=limit)
    with history_file(configured) as path:
        found = find_incidents(path, query)
    if as_json:
        click.echo(json.dumps(incidents_document(found, query), indent=2))
    else:
        rows = [(_minute(incident.since), incident_line(incident)) for incident in found]
        click.echo("\n".join(table(rows)) if rows else "No incidents.")


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _window(configured: Settings, since: datetime | None, until: datetime | None) -> Window:
    until = until or datetime.now(UTC)
    since = since or until - DEFAULT_RANGE
    if since >= until:
        raise click.UsageError("--from must be before --to.")
    every_seconds = configured.history.every.total_seconds()
    return Window.up_to(since, until, MAX_POINTS, every_seconds)
