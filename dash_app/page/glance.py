"""The verdicts at a glance: one column, worst first, without any script; as HTML or plain text."""

from __future__ import annotations

from datetime import UTC, datetime

from dash import html
from dash.development.base_component import Component

from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.page.assets import versioned
from dash_app.page.cards import badge_parts
from dash_app.page.markup import draw
from dash_app.page.widgets import icon
from dash_app.rules.problems import problem_since, ranked
from dash_app.words import numbers, summaries
from dash_app.words.problems import badge_text

REFRESH = '<meta http-equiv="refresh" content="30">'
DOCUMENT = versioned("""<!DOCTYPE html>
<html lang="en" data-bs-theme="dark" data-level="{level}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, viewport-fit=cover">
{refresh}
<title>{title}</title>
<link rel="icon" type="image/svg+xml" href="/assets/icons/state-{level}.svg">
<script src="/assets/theme.js"></script>
<link rel="stylesheet" href="/assets/page.css">
</head>
<body class="glance">{body}</body>
</html>
""")


def glance_text(snapshot: Snapshot | None, now: datetime) -> str:
    """Return a line a database under the headline, for terminals and shortcuts."""
    if snapshot is None:
        return "Can't tell · nothing was read yet\n"
    lines = [(_word(one), one.database.label, _sentences(one, now)) for one in ranked(snapshot)]
    wide = max(len(word) for word, *_ in lines)
    names = max(len(label) for _, label, _ in lines)
    told = (f"{word:{wide}}  {label:{names}}  {text}" for word, label, text in lines)
    return "\n".join([f"{summaries.headline(snapshot)} · {_age(snapshot, now)}", *told, ""])


def glance_page(snapshot: Snapshot | None, now: datetime) -> str:
    """Return the same as a page that looks again by itself."""
    headline = summaries.headline(snapshot) if snapshot else "Can't tell"
    age = _age(snapshot, now) if snapshot else "nothing was read yet"
    lines = [_line(one, now) for one in ranked(snapshot)] if snapshot else []
    parts = [html.H1(headline), html.P(age, className="aside"), html.Ul(lines)]
    back = html.P(html.A("The whole page", href="/"))
    return DOCUMENT.format(
        level=snapshot.level if snapshot else "unknown",
        refresh=REFRESH,
        title=f"{headline} · Mission Control",
        body=draw(html.Main([*parts, back])),
    )


def plain_page(text: str) -> str:
    """Return a page that says one thing and leads back."""
    parts = [html.H1(text), html.P(html.A("All databases", href="/"))]
    return DOCUMENT.format(
        level="unknown",
        refresh="",
        title="Mission Control",
        body=draw(html.Main(parts)),
    )


def _line(status: DatabaseStatus, now: datetime) -> Component:
    shape, colour, word = badge_parts(summaries.badge(status), status.level)
    if status.is_stale:
        shape, colour, word = "unknown", "idle", "Stale"
    mark = html.Span([icon(shape), word], className=f"state state-{colour}")
    head = html.P([html.Span(status.database.label, className="subject"), mark])
    return html.Li([head, html.P(_sentences(status, now))])


def _word(status: DatabaseStatus) -> str:
    return "stale" if status.is_stale else badge_text(summaries.badge(status))


def _sentences(status: DatabaseStatus, now: datetime) -> str:
    """Return what a card says, in a line; times in UTC, since the reader's zone is unknown."""
    good, reading = status.last_good, status.reading
    parts = []
    if status.problems:
        since = problem_since(status)
        parts = [status.verdict]
        if status.status != "not_initialized":
            parts.append(f"Since {since:%H:%M} UTC ({numbers.age(now - since)}).")
    if status.status == "error" and good:
        parts.append(f"Last seen {numbers.plural(good.total_rows, 'row')}.")
    if status.status == "connected":
        if reading.last_modified:
            parts.append(f"Last write {numbers.ago(now - reading.last_modified)}.")
        parts.append(f"{summaries.rows_of(reading)}{_change(status, now)}.")
    return " ".join([*parts, *summaries.notes(status)])


def _change(status: DatabaseStatus, now: datetime) -> str:
    if status.change is None or status.activity is None:
        return ""
    since = status.activity.since
    when = "in 24 h" if numbers.is_one_day(since, now) else f"since {since:%H:%M} UTC"
    return f", {numbers.change(status.change)} {when}"


def _age(snapshot: Snapshot, now: datetime) -> str:
    taken_at = snapshot.taken_at.astimezone(UTC)
    return f"{taken_at:%H:%M:%S} UTC, {numbers.ago(now - taken_at)}"
