"""Who has a database open, and who had it open earlier, in its view."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from dash import html
from dash.development.base_component import Component

from dash_app.model.host_facts import Holder
from dash_app.model.opener import Opener
from dash_app.model.snapshot import DatabaseStatus
from dash_app.page.widgets import and_more, aside, moment
from dash_app.words import numbers, summaries

MAX_UNFOLDED, MAX_EARLIER = 2, 100
"""Maximum number of earlier openers in sight, and with those that are folded."""


def openers_section(
    status: DatabaseStatus, openers: Sequence[Opener], interval: timedelta, now: datetime
) -> Component:
    """Return the processes that have a database open, and earlier ones, the newest first.

    `interval` is the time between two looks.
    """
    host = status.reading.surroundings
    pids = {holder.pid for holder in host.holders or ()}
    present = {one.pid: one.since for one in openers if one.pid in pids and not one.missed_at}
    lines = [
        _holder(holder, present.get(holder.pid, holder.since), now) for holder in host.holders or ()
    ]
    none = "Unknown on this system." if host.holders is None else "No other program has it open."
    earlier = [_opener(o, now) for o in openers if o.missed_at or o.pid not in present]
    parts: list[Component] = [html.Ul(lines)] if lines else []
    if not lines and status.status == "connected":
        parts.append(aside(none))
    parts += [aside(summaries.FOREIGN_ENGINE)] if host.is_foreign else []
    if earlier:
        parts += [aside("Earlier"), html.Ul(earlier[:MAX_UNFOLDED])]
    if folded := earlier[MAX_UNFOLDED:MAX_EARLIER]:
        summary = html.Summary(f"and {len(folded)} more")
        more = and_more(len(earlier) - MAX_EARLIER)
        parts.append(html.Details([summary, html.Ul(folded), *more]))
    if host.holders is not None:
        looks = f"As seen {numbers.every(interval)}; shorter visits may be missed."
        parts.append(aside(looks))
    return html.Section([html.H2("Open by"), html.Div(parts)], className="openers")


def _holder(holder: Holder, since: datetime, now: datetime) -> Component:
    uses = ", ".join(use for use in holder.uses if use != "open")
    notes = filter(None, [holder.unit, uses, "holds the WAL back" if holder.pins_since else ""])
    when = html.Span(["since ", moment(since, "stamp", now)], className="aside")
    return _line(holder.command, holder.pid, when, " · ".join(notes))


def _opener(opener: Opener, now: datetime) -> Component:
    times = moment(opener.since, "stamp", now), " to ", moment(opener.until, "stamp", now)
    return _line(opener.command, opener.pid, html.Span(times, className="aside"), opener.unit or "")


def _line(command: str, pid: int, when: Component, note: str) -> Component:
    first = html.P([html.Span(f"{command} (pid {pid})"), when])
    return html.Li([first, *([html.Span(note, className="aside")] if note else [])])
