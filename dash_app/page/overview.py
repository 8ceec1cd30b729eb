"""The overview: a card per database; of many a list, and cards in trouble; or how to start."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dash_app import loader
from dash_app.model.database import Database
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.cards import cards
from dash_app.page.database_list import (
    MAX_CARDS,
    database_list,
    filter_controls,
    select,
    state_of,
)
from dash_app.page.headline import headline, lines
from dash_app.page.incidents import incidents
from dash_app.page.layout import Facts
from dash_app.page.recent_events import recent_events
from dash_app.page.url_query import with_values
from dash_app.page.widgets import and_more, aside
from dash_app.settings import Settings
from dash_app.words import numbers
from dash_app.words.commands import RUN

MAX_UNFOLDED, MAX_FOUND = 5, 20
"""Maximum number of found databases in sight, and with those that are folded."""

WHAT_IT_IS = (
    "Mission Control shows whether the SQLite databases of your agents are well, and what to do"
    " when one is not. It never writes to them."
)


def is_first_start(snapshot: Snapshot, settings: Settings) -> bool:
    """Whether no databases are configured, and none of the default files has ever existed."""
    return not settings.names_databases and all(
        status.status == "not_initialized"
        and status.reading.code in {"file_missing", "folder_missing"}
        for status in snapshot.databases
    )


def overview(
    snapshot: Snapshot | None,
    settings: Settings,
    search: str | None,
    started_at: datetime,
    now: datetime,
) -> Facts:
    """Return the facts of all databases, or of those that the URL's query selects."""
    top, sections = headline(snapshot, now), []
    if snapshot and is_first_start(snapshot, settings):
        again = numbers.every(settings.sampler.interval)
        text = f"No database found so far. Looking again {again}."
        if snapshot.found:
            text = f"{numbers.plural(len(snapshot.found), 'database')} found, none watched yet."
        top = [top[0], lines(aside(text))]
        sections = [_first_start(settings, snapshot.found)]
    elif snapshot:
        events = recent_events(snapshot, snapshot.events, started_at, now)
        is_long = len(snapshot.databases) > MAX_CARDS
        databases = _list(snapshot, search, now) if is_long else [_grid(snapshot, now, events)]
        title = html.H2("Databases", className="visually-hidden")
        sections = [incidents(snapshot, now), html.Section([title, *databases])]
        sections += [events] if is_long else []
    head = html.Section(top, id=ids.HEADLINE, className="headline")
    return Facts([head, html.Div(sections, className="parts")])


def _grid(snapshot: Snapshot, now: datetime, *more: Component, name: str = "cards") -> Component:
    counts = loader.counts_frame(snapshot)
    shown = cards(snapshot.databases, snapshot.incidents, counts, now)
    return html.Div([*shown, *more], id=ids.CARDS, className=name)


def _list(snapshot: Snapshot, search: str | None, now: datetime) -> list[Component]:
    """Return the filter, cards of the databases in trouble by harm, and the list of all."""
    shown, total = select(snapshot.databases, search), len(snapshot.databases)
    worst_first = select(snapshot.worst_first, search)
    troubled = [s for s in worst_first if state_of(s) in {"needs_you", "acknowledged"}]
    rows = aside(
        "No database matches. ", html.A("Show all", href=with_values(search, name="", state=""))
    )
    if shown:
        carded = {status.database.name for status in troubled}
        rows = database_list(shown, snapshot.incidents, carded, now)
    return [
        filter_controls(snapshot.databases, search),
        _grid(replace(snapshot, databases=tuple(troubled)), now, name="cards troubled"),
        html.H2(f"{len(shown)} of {total} databases" if len(shown) < total else "All databases"),
        rows,
    ]


def _first_start(settings: Settings, found: Sequence[Database]) -> Component:
    paths = [database.path for database in settings.databases]
    folder = html.Code(numbers.short_path(paths[0].parent))
    files = ", ".join(path.name for path in paths)
    parts = [
        html.H2("How to start", className="visually-hidden"),
        html.P(WHAT_IT_IS),
        aside("Watch these, then restart" if found else "Find your databases, then restart"),
        html.Code(f"{RUN} discover --save"),
        *_found(found),
        aside("Or see it with five demo databases first"),
        html.Code(f"{RUN} demo"),
        aside(
            "Five files are awaited in ",
            folder,
            f": {files}. Each appears here once its program creates it.",
        ),
    ]
    return html.Section(parts, className="first-start panel")


def _found(databases: Sequence[Database]) -> list[Component]:
    """Return the list of the databases that a search found, most of it folded."""
    items = [
        html.Li(
            [
                html.Span(numbers.one_line(database.label), className="subject"),
                " ",
                html.Span(numbers.one_line(numbers.short_path(database.path)), className="aside"),
            ]
        )
        for database in databases[:MAX_FOUND]
    ]
    parts: list[Component] = [html.Ul(items[:MAX_UNFOLDED])] if items else []
    if folded := items[MAX_UNFOLDED:]:
        summary = html.Summary(f"and {len(databases) - MAX_UNFOLDED} more")
        more = and_more(len(databases) - MAX_FOUND)
        parts.append(html.Details([summary, html.Ul(folded), *more]))
    return parts
