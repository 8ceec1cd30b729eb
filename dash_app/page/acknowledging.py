"""The controls to acknowledge the problems on a card, and to undo that."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from dash import html
from dash.development.base_component import Component

from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.snapshot import DatabaseStatus
from dash_app.page.widgets import aria, data, moment

DURATIONS: dict[str, tuple[str, timedelta | None]] = {
    "1h": ("1 h", timedelta(hours=1)),
    "8h": ("8 h", timedelta(hours=8)),
    "24h": ("24 h", timedelta(hours=24)),
    "end": ("until it ends", None),
}
"""For how long a person may acknowledge an incident; None until it ends."""


def database_controls(status: DatabaseStatus, now: datetime) -> list[Component]:
    """Return the controls of a database's card, for all of its problems together.

    An incident that several databases share has its own card with controls. Here, it is only named
    as acknowledged.
    """
    label, known = status.database.label, status.acknowledged
    changes = {problem.id for problem in status.problems if problem.needs_acknowledgement}
    lasting = [
        incident
        for incident in status.incidents
        if len(incident.databases) == 1 and not changes.issuperset(incident.problem_ids)
    ]
    if known and not lasting:
        return [html.Div(_acknowledged(known, now), className="acknowledge")]
    return controls(label, lasting, now, changed=status.database.name if changes else "")


def controls(
    label: str, incidents: Sequence[Incident], now: datetime, *, changed: str = ""
) -> list[Component]:
    """Return the controls for incidents, and for past changes of the database `changed`, if any.

    Lasting problems offer for how long; a past change ends.
    """
    stored = [incident for incident in incidents if incident.id]  # the others have no id yet
    known = [incident.acknowledgement(now) for incident in stored]
    if not all(known):
        parts: list[Component | str] = [_choice(label)]
    elif changed:  # what lasts is acknowledged already, and stays so
        parts, stored = [_button("end", "Acknowledge", label)], []
    elif known and (first := known[0]):
        undo: list[Component | str] = [" · ", _button("undo", "Undo", label, "undo")]
        parts = [*_acknowledged(first, now), html.Span(undo, className="active-only")]
    else:
        return []
    ids = " ".join(str(incident.id) for incident in stored)
    return [html.Div(parts, className="acknowledge", **data(incidents=ids, database=changed))]


def _acknowledged(known: Acknowledgement, now: datetime) -> list[Component | str]:
    until = moment(known.until, "clock", now) if known.until else "it ends"
    return ["Acknowledged until ", until, f", by {known.by}"]


def _choice(label: str) -> Component:
    """Return a button that opens those of the durations in its place."""
    text: list[Component | str] = ["Acknowledge", html.Span(" for", className="when-open")]
    summary = html.Summary(text, className="action", **aria(label=f"Acknowledge: {label}"))
    buttons = [_button(choice, text, label) for choice, (text, _) in DURATIONS.items()]
    group = html.Div(buttons, role="group", **aria(label=f"Acknowledge {label} for"))
    return html.Details([summary, group])


def _button(choice: str, text: str, label: str, name: str = "action") -> Component:
    attributes = data(acknowledge=choice) | aria(label=f"{text}: {label}")
    return html.Button(text, type="button", className=name, **attributes)
