"""What a person is told of an incident: whom it concerns, what is amiss, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from dash_app.model.incident import Acknowledgement, Entry, Incident
from dash_app.words.numbers import (
    age,
    day,
    join_names,
    moment,
    number,
    plural,
    short_path,
    truncate,
)

PART, NO_BREAK = ": ", "\u00a0"
MAX_LABEL_CHARACTERS = 60
MAX_SENTENCES = 2
MAX_SENTENCE_CHARACTERS = 400
"""Of one sentence of an incident, which may name a table of any length."""

OUR_LABEL = "Alerts"
"""Stands in place of a database's label for a problem of Mission Control itself."""

OURS_IN_BRIEF = {"alerts_failing": "messages not sent"}
"""What is amiss with ourselves, as a finding is told in the headline."""

SILENT = "Nothing is written any more."


def incident_text(labels: Sequence[str], sentences: Sequence[str]) -> str:
    """Return whom an incident concerns, and the worst of what is amiss, which each says once."""
    once = list(dict.fromkeys(sentences))
    rest = len(once) - MAX_SENTENCES
    more = [f"And {number(rest)} more."] if rest > 0 else []
    told = [truncate(one, MAX_SENTENCE_CHARACTERS) for one in once[:MAX_SENTENCES]]
    whom = join_names([truncate(label, MAX_LABEL_CHARACTERS) for label in labels])
    return f"{whom.replace(PART, ':' + NO_BREAK)}{PART}{' '.join([*told, *more])}"


def labels_and_cause(one: Incident) -> tuple[str, str]:
    """Return the labels of the databases that an incident concerns, and its cause.

    In the stored text, the space after a colon within a label does not break; here it does.
    """
    labels, _, cause = one.text.partition(PART)
    return labels.replace(f":{NO_BREAK}", PART), cause


def incident_sentence(one: Incident) -> str:
    """Return the text of an incident as people read it: labels and cause."""
    return PART.join(part for part in labels_and_cause(one) if part)


def folder_gone(folder: Path) -> str:
    """Return that a folder with several databases is gone."""
    return f"Their folder {short_path(folder)} is gone."


def process_gone(command: str, pid: int, until: datetime, labels: Sequence[str]) -> str:
    """Return which process had silent databases open, and until when."""
    what = "it" if len(labels) == 1 else "them"
    return f"{command} (pid {pid}) had {what} open until {moment(until)}."


def process_remedy(command: str) -> str:
    """Return what to do where a process that wrote is gone."""
    return f"Start {command} again, if it should run."


def incident_line(entry: Entry) -> str:
    """Return an incident in a line, with its end, who knows of it, and what was sent."""
    one = entry.incident
    parts = [incident_sentence(one)]
    if one.ended_at:
        parts.append(f"Over after {age(one.ended_at - one.since)}.")
    elif one.acknowledged:
        parts.append(f"{acknowledged_by(one.acknowledged)}.")
    parts += [f"{told}." for told in (sent_line(entry), unsent_line(entry)) if told]
    return " ".join(parts)


def acknowledged_by(one: Acknowledgement) -> str:
    """Return who knows of an incident, and until when; with times in UTC."""
    until = f"{one.until:%H:%M} UTC on {day(one.until)}" if one.until else "it ends"
    return f"{one.by} knows of it until {until}"


def sent_line(entry: Entry) -> str:
    """Return how many messages were sent about an incident; nothing where there are none."""
    count = sum(one.sent_at is not None for one in entry.messages)
    return f"{plural(count, 'message')} sent" if count else ""


def unsent_line(entry: Entry) -> str:
    """Return how many messages reached nobody, alone or with others, and why; nothing if none."""
    rest = [one for one in entry.messages if one.is_pending or one.is_given_up]
    yet = " yet" if any(one.is_pending for one in rest) else ""
    why = next((f": {one.failure}" for one in reversed(rest) if one.failure), "")
    return f"{plural(len(rest), 'message')} not sent{yet}{why}" if rest else ""
