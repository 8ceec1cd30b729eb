"""The glance: one column of verdicts, worst first, as HTML without scripts."""

from datetime import datetime
from pathlib import Path

from dash import html
from dash.development.base_component import Component

from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.assets import versioned
from dash_app.page.cards import badge_parts
from dash_app.page.markup import draw
from dash_app.page.widgets import aside, badge
from dash_app.words import summaries
from dash_app.words.numbers import clock
from dash_app.words.summaries import glance_line, snapshot_age

DOCUMENT = versioned(Path(__file__).with_name("glance.html").read_text(encoding="utf-8"))
REFRESH = '<meta http-equiv="refresh" content="30">'


def glance_page(snapshot: Snapshot | None, now: datetime, *, reloads: bool = True) -> str:
    """Return the headline and one item per database, as HTML that reloads itself or does not."""
    headline = summaries.headline(snapshot, now) if snapshot else "Can't tell"
    age = snapshot_age(snapshot, now) if snapshot else "Nothing read yet."
    items = [_item(status, now) for status in snapshot.worst_first] if snapshot else []
    notes = summaries.pattern_notes(snapshot.patterns) if snapshot else []
    parts = [html.H1(headline), aside(age), html.Ul(items), *map(aside, notes)]
    other = ("Without refresh", "?refresh=off") if reloads else ("With refresh", "/glance")
    pages = [html.A(text, href=href) for text, href in (("The whole page", "/"), other)]
    level = snapshot.shown_level if snapshot else "unknown"
    body = draw(html.Main([*parts, html.Nav(pages, className="links")]))
    title = f"{headline} · Mission Control"
    return DOCUMENT.format(level=level, refresh=REFRESH if reloads else "", title=title, body=body)


def plain_page(text: str) -> str:
    """Return a page with one sentence and a link to the databases."""
    body = draw(
        html.Main([html.H1(text), html.P(html.A("All databases", href="/"), className="links")])
    )
    return DOCUMENT.format(level="unknown", refresh="", title="Mission Control", body=body)


def _item(status: DatabaseStatus, now: datetime) -> Component:
    state = badge(*badge_parts(summaries.badge(status), status.level))
    if status.is_stale:
        state = badge("unknown", "idle", f"As of {clock(status.reading.verified_at, now)}")
    head = html.P([html.Span(status.database.label, className="subject"), state])
    return html.Li([head, html.P(glance_line(status, now))])
