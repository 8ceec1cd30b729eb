"""The headline: whether all databases are well, and links to the problems if not."""

from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dash_app.model.incident import Incident
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.widgets import aside, moment, sentence, unbroken
from dash_app.words import summaries
from dash_app.words.history import history_disk
from dash_app.words.incidents import labels_and_cause
from dash_app.words.integrity import databases_checked
from dash_app.words.numbers import plural
from dash_app.words.problems import kind_in_brief

MAX_LINKS = 3


def headline(snapshot: Snapshot | None, now: datetime) -> list[Component]:
    """Return the headline, and below it the worst problems as links, the others and numbers."""
    if snapshot is None:
        return [html.H1("Can't tell"), lines(aside("Nothing read yet."))]
    troubles, text = _troubles(snapshot), sentence(summaries.headline_parts(snapshot), now)
    if len(snapshot.needing) == 1:
        link = troubles.pop(0)
        link.children, text = text, [link]
    fresh = html.Span(text, className="when-fresh")
    stale = html.Span("Can't tell", className="when-stale")
    if more := troubles[MAX_LINKS:]:
        more[0].children = f"and {len(more)} more"
    links = [piece for link in troubles[: MAX_LINKS + 1] for piece in (" ", link)][1:]
    notes = [note for note in (history_disk(snapshot), *snapshot.history_notes) if note]
    notes += summaries.pattern_notes(snapshot.patterns)
    first = [html.Span(links, className="troubles")] if links else []
    checked = html.P(databases_checked(snapshot), className="aside checked")
    below = lines(aside(*first, html.Span(_facts(snapshot, now))), checked, *map(aside, notes))
    return [html.H1([fresh, stale]), below]


def lines(*parts: Component) -> Component:
    """Return the lines under a headline, and the place of the notice that may hide them.

    The notice as it stands here appears if the app does not replace the first view.
    """
    notice = html.P(
        ["Part of this page has not arrived. ", html.A("Reload", href="")],
        id=ids.NOTICE,
        className="notice when-left",
    )
    return html.Div([html.Div(list(parts)), notice], className="lines")


def _troubles(snapshot: Snapshot) -> list[html.A]:
    """Return a link per trouble to the card that shows it, worst first.

    Databases with one incident share its card. Incidents of Mission Control itself come last.
    """
    links = {}
    for status in snapshot.needing:
        first = {problem.id for problem in status.pressing[:1]}
        shared = [one for one in status.incidents if first.intersection(one.problem_ids)]
        if shared and len(shared[0].databases) > 1:
            links[ids.incident(shared[0])] = _brief(shared[0])
        else:
            links[ids.card(status.database.name)] = summaries.trouble(status)
    for incident in snapshot.open_incidents:
        if not incident.databases and not incident.acknowledgement(snapshot.taken_at):
            links[ids.incident(incident)] = _brief(incident)
    return [html.A(text, href=f"#{target}") for target, text in links.items()]


def _brief(incident: Incident) -> str:
    return f"{labels_and_cause(incident)[0]}: {kind_in_brief(incident.kind)}"


def _facts(snapshot: Snapshot, now: datetime) -> list[Component | str]:
    """Return the others, the last write and the rows written, of all databases together."""
    written = [status.reading.last_modified for status in snapshot.databases]
    days = [status.activity for status in snapshot.databases if status.activity]
    others, last = summaries.others(snapshot), max(filter(None, written), default=None)
    if last is None:
        return [others]
    facts: list[Component | str]
    facts = [" · last write " if others else "Last write ", moment(last, "ago", now)]
    rows, is_whole = sum(day.written for day in days), any(day.is_whole_day for day in days)
    if rows or is_whole:
        since = moment(min(day.since for day in days), "clock", now)
        period = [f"in {unbroken('24 h')}"] if is_whole else [unbroken("since "), since]
        facts += [f" · {unbroken(plural(rows, 'row'))} ", *period]
    return [others, html.Span(facts, className="wide-only" if len(snapshot.needing) > 1 else None)]
