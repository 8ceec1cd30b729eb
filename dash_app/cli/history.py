"""The commands that tell of the past, from our own record: `history`, `events`, `incidents`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict, Unpack, get_args

import click

from dash_app import settings
from dash_app.api.csv_export import csv_of
from dash_app.api.serializers import history_document, incidents_document
from dash_app.cli.history_summary import sums
from dash_app.cli.terminal import (
    Instant,
    config_option,
    database_option,
    recorded,
    refuse_unknown,
    table,
)
from dash_app.history import series
from dash_app.history.chart_grid import Window
from dash_app.history.event_queries import Wanted, events_of
from dash_app.history.incidents import WantedIncidents, incidents_of
from dash_app.history.series import Metric, Selection, Series
from dash_app.settings import Settings
from dash_app.words.events import event_text
from dash_app.words.incidents import incident_line

REACH = timedelta(hours=24)
POINTS = 500
"""As many as `/api/history` answers with."""

MAX_EVENTS = 50

HISTORY_EXAMPLES = """\b
Examples:
  ./ops/run history                              rows of every table, since yesterday
  ./ops/run history --database email --from 7d   of one database, since a week
  ./ops/run history --metric inserted --from 1h  rows written in the last hour
  ./ops/run history --from 30d --csv > rows.csv  for a spreadsheet
  ./ops/run history --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z

\b
Our own record is read; no service is needed.
"""

EVENTS_EXAMPLES = """\b
Examples:
  ./ops/run events                              what happened last
  ./ops/run events --since 24h                  since yesterday
  ./ops/run events --database email --limit 5

\b
Our own record is read; no service is needed.
"""


INCIDENTS_EXAMPLES = """\b
Examples:
  ./ops/run incidents                           what went wrong last, and why
  ./ops/run incidents --open                    what is not over yet
  ./ops/run incidents --json | jq '.incidents[].text'

\b
Our own record is read; no service is needed.
"""


class Asked(TypedDict):
    """Which series are asked for, and of which time."""

    databases: tuple[str, ...]
    tables: tuple[str, ...]
    metric: Metric
    since: datetime | None
    until: datetime | None


@click.command(epilog=HISTORY_EXAMPLES)
@config_option
@database_option
@click.option(
    "--table", "tables", multiple=True, metavar="TABLE", help="Of this one alone; repeatable."
)
@click.option(
    "--metric",
    type=click.Choice(get_args(Metric)),
    default="rows",
    help="What to tell; rows by default.",
)
@click.option("--from", "since", type=Instant(), help="24h by default; a span or a time.")
@click.option("--to", "until", type=Instant(), help="Now by default; a span or a time.")
@click.option("--csv", "wants_csv", is_flag=True, help="Every value, as /api/history?format=csv.")
def history(config: Path | None, *, wants_csv: bool, **asked: Unpack[Asked]) -> None:
    """Say what became of rows and sizes."""
    configured = settings.load(config)
    refuse_unknown(configured, asked["databases"])
    selection = Selection(asked["databases"], asked["tables"], asked["metric"])
    with recorded(configured) as path:
        window = _window(configured, asked["since"], asked["until"])
        found = list(series.series(path, selection, window))
    if wants_csv:
        click.echo(csv_of(history_document(found)["series"]).encode(), nl=False)
    else:
        _print(found)


@click.command(epilog=EVENTS_EXAMPLES)
@config_option
@database_option
@click.option("--limit", type=click.IntRange(1), default=MAX_EVENTS, help="50 by default.")
@click.option("--since", type=Instant(), help="Not before: a span such as 24h, or a time.")
def events(
    config: Path | None, databases: tuple[str, ...], limit: int, since: datetime | None
) -> None:
    """Say what happened, newest first."""
    configured = settings.load(config)
    refuse_unknown(configured, databases)
    with recorded(configured) as path:
        found = list(events_of(path, Wanted(databases, most=limit)))
    labels = {database.name: database.label for database in configured.databases}
    told = [
        (
            _minute(one.at),
            labels.get(one.database, one.database),
            event_text(one) + (f" (ended {_minute(one.ended_at)})" if one.ended_at else ""),
        )
        for one in found
        if since is None or one.at >= since
    ]
    click.echo("\n".join(table(told)) if told else "No events.")


@click.command(epilog=INCIDENTS_EXAMPLES)
@config_option
@database_option
@click.option("--limit", type=click.IntRange(1), default=MAX_EVENTS, help="50 by default.")
@click.option("--open", "only_open", is_flag=True, help="Those alone that are not over.")
@click.option("--json", "as_json", is_flag=True, help="Print the document of /api/incidents.")
def incidents(
    config: Path | None, databases: tuple[str, ...], limit: int, *, only_open: bool, as_json: bool
) -> None:
    """Say what went wrong and why, newest first."""
    configured = settings.load(config)
    refuse_unknown(configured, databases)
    wanted = WantedIncidents(databases, True if only_open else None, most=limit)
    with recorded(configured) as path:
        found = incidents_of(path, wanted)
    if as_json:
        click.echo(json.dumps(incidents_document(found, wanted), indent=2))
    else:
        told = [(_minute(one.incident.since), incident_line(one)) for one in found]
        click.echo("\n".join(table(told)) if told else "No incidents.")


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _window(configured: Settings, since: datetime | None, until: datetime | None) -> Window:
    until = until or datetime.now(UTC)
    since = since or until - REACH
    if since >= until:
        raise click.UsageError("--from must lie before --to.")
    every_seconds = configured.history.every.total_seconds()
    return Window.between(since, until, POINTS - 2, every_seconds).to_its_end(until)


def _print(found: list[Series]) -> None:
    lines = table(sums(found), right=frozenset({2, 3, 4, 5}))
    click.echo("\n".join(lines) if found else "Nothing was recorded of that.")
