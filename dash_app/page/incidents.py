"""What went wrong and why: the open incidents, each a card, and those of late folded."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import datetime, timedelta

import dash_bootstrap_components as dbc
from dash import html
from dash.development.base_component import Component

from dash_app.model.incident import Entry, Incident
from dash_app.model.snapshot import Snapshot
from dash_app.page import ids
from dash_app.page.widgets import aria, data, icon, moment, prose
from dash_app.words import numbers, summaries
from dash_app.words.incidents import labels_and_cause, sent_line, unsent_line

MAX_OPEN, MAX_OVER = 9, 10
LATELY = timedelta(days=7)

KNOWN = "I know. Don't remind me for"
LASTS = {"1h": "1 h", "8h": "8 h", "24h": "24 h", "end": "as long as it lasts"}
"""For how long somebody may keep reminders away."""


def shown(entries: Iterable[Entry], now: datetime, database: str | None = None) -> list[Entry]:
    """Return the incidents that a page tells: open ones, worst first, then those of late."""
    concerned = [one for one in entries if database in {None, *one.incident.databases}]
    open_ = [one for one in concerned if not one.incident.ended_at]
    over = [one for one in concerned if (end := one.incident.ended_at) and now - end < LATELY]
    return [*open_, *over[:MAX_OVER]]


def incidents(entries: Sequence[Entry], snapshot: Snapshot | None, now: datetime) -> Component:
    """Return the section of incidents, which is empty where there are none.

    A remedy that stands on a card is not told once more.
    """
    statuses = snapshot.databases if snapshot else ()
    told = {problem.remedy for status in statuses for problem in status.problems[:1]}
    open_ = [one for one in entries if not one.incident.ended_at]
    over = [one for one in entries if one.incident.ended_at]
    rest = len(open_) - MAX_OPEN
    parts = [
        html.H2("Incidents"),
        html.Div([_card(one, told, now) for one in open_[:MAX_OPEN]], className="cards"),
        *([html.P(f"and {numbers.number(rest)} more", className="aside")] if rest > 0 else []),
        *([_over(over, now)] if over else []),
    ]
    return html.Section(parts if entries else [], id=ids.INCIDENTS, className="incidents")


def _card(entry: Entry, told_remedies: Container[str], now: datetime) -> Component:
    one = entry.incident
    names, cause = labels_and_cause(one)
    began, length = moment(one.since, "clock", now), moment(one.since, "length", now)
    known = one.acknowledged if one.acknowledged and one.acknowledged.holds(now) else None
    lines = [
        html.Div([html.H3(names, className="names"), _badge(one)], className="card-head"),
        html.P(prose(cause), className="cause"),
        html.P(["Since ", began, " (", length, ")"], className="aside"),
        *([] if one.remedy in told_remedies else [html.P(prose(one.remedy), className="remedy")]),
        *_messages(entry, now),
    ]
    if known:
        until = moment(known.until, "clock", now) if known.until else "it ends"
        told = html.Span([f"{known.by} knows of it until ", until])
        lines.append(html.Div([told, _button(one, "none", "Take back")], className="known"))
    elif one.id is not None:
        lines.append(_choices(one, names))
    whole: Component = dbc.Card(
        dbc.CardBody(lines), id=ids.incident(one), class_name=f"database incident is-{one.level}"
    )
    return whole


def _badge(one: Incident) -> Component:
    word = summaries.kind_in_brief(one.kind).capitalize()
    if one.level == "fault":
        return html.Span([icon("cross"), word], className="state state-bad")
    return html.Span([icon("clock"), word], className="state state-warn")


def _choices(one: Incident, names: str) -> Component:
    """Return for how long a person may know of an incident."""
    return html.Div(
        [
            html.Span(KNOWN, className="aside"),
            *(_button(one, key, word) for key, word in LASTS.items()),
        ],
        className="known",
        role="group",
        **aria(label=f"{names}: {KNOWN}"),
    )


def _button(one: Incident, lasts: str, word: str) -> Component:
    marks = data(incident=str(one.id), lasts=lasts)
    return html.Button(word, type="button", className="seen", **marks)


def _messages(entry: Entry, now: datetime) -> list[Component]:
    lines: list[list[Component | str]] = []
    if told := sent_line(entry):
        last = max(one.sent_at for one in entry.messages if one.sent_at)
        lines.append([f"{told}, last at ", moment(last, "clock", now)])
    if waiting := unsent_line(entry):
        lines.append([waiting])
    return [html.P(line, className="aside") for line in lines]


def _over(entries: Sequence[Entry], now: datetime) -> Component:
    lines = [_line(one, now) for one in entries]
    summary = html.Summary(f"{numbers.plural(len(entries), 'incident')} over in the last 7 days")
    return html.Details([summary, html.Ul(lines)], className="lately over")


def _line(entry: Entry, now: datetime) -> Component:
    one = entry.incident
    names, cause = labels_and_cause(one)
    length = numbers.age((one.ended_at or now) - one.since)
    lasted = f", over after {length}" if length != "now" else ", over at once"
    when = html.Span([moment(one.since, "clock", now), lasted], className="aside")
    told = [f"{told}." for told in (sent_line(entry), unsent_line(entry)) if told]
    text = " ".join([cause, *told])
    return html.Li([html.P([html.Span(names, className="subject"), when]), text])
