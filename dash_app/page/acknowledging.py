"""The controls to acknowledge the problems on a card, and to undo that."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

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

    A past change ends when it is acknowledged. An incident that several databases share has its own
    controls.
    """
    has_change = any(problem.needs_acknowledgement for problem in status.problems)
    lasting = {problem.id for problem in status.pressing if not problem.needs_acknowledgement}
    own = [
        incident
        for incident in status.incidents
        if len(incident.databases) == 1 and lasting.intersection(incident.problem_ids)
    ]
    changed = status.database.name if has_change else ""
    return _controls(status.database.label, changed, own, now)


def incident_controls(incident: Incident, labels: str, now: datetime) -> list[Component]:
    """Return the controls of the card of an incident with these databases."""
    return _controls(labels, "", [incident], now)


def _controls(
    label: str, changed: str, incidents: Sequence[Incident], now: datetime
) -> list[Component]:
    """Return the controls for incidents, and for past changes of the database `changed`, if any."""
    new = [incident for incident in incidents if not incident.acknowledgement(now) and incident.id]
    known = list(filter(None, (incident.acknowledgement(now) for incident in incidents)))
    database = data(database=changed) if changed else {}
    if new:
        return [html.Div(_choice(label), className="acknowledge", **database, **_ids(new))]
    if changed:
        button = _button("end", "Acknowledge", label, "action")
        return [html.Div(button, className="acknowledge", **database)]
    if not known:
        return []
    first = min(known, key=Acknowledgement.end)
    until = moment(first.until, "clock", now) if first.until else "it ends"
    undo = _button("undo", "Undo", label, "undo")
    text = ["Acknowledged until ", until, f", by {first.by} · ", undo]
    return [html.P(text, className="acknowledge aside", **_ids(incidents))]


def _choice(label: str) -> Component:
    """Return a button that opens those of the durations in its place."""
    summary = html.Summary(
        ["Acknowledge", html.Span(" for", className="when-open")],
        className="action",
        **aria(label=f"Acknowledge: {label}"),
    )
    buttons = [_button(key, text, label, "action") for key, (text, _) in DURATIONS.items()]
    group = html.Div(buttons, role="group", **aria(label=f"Acknowledge {label} for"))
    return html.Details([summary, group])


def _button(choice: str, text: str, label: str, name: str) -> Component:
    attributes = data(acknowledge=choice) | aria(label=f"{text}: {label}")
    return html.Button(text, type="button", className=name, **attributes)


def _ids(incidents: Sequence[Incident]) -> dict[str, Any]:
    return data(incidents=" ".join(str(incident.id) for incident in incidents))
