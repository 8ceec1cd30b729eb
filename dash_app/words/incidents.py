"""Incidents in words: the databases concerned, the cause, the remedy and the notifications."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.opener import Opener
from dash_app.words.numbers import (
    after,
    clock,
    first_of,
    join_names,
    moment,
    plural,
    short_path,
    truncate,
)
from dash_app.words.problems import kind_in_brief, plain, process_name

SEPARATOR, NO_BREAK = ": ", "\u00a0"
"""The separator of labels and cause in the stored text of an incident. Within a label, a no-break
space replaces its space, so that the first separator is the right one."""

MAX_LABEL_CHARACTERS = 60
MAX_SENTENCES = 2
MAX_SENTENCE_CHARACTERS = 400
"""Maximum length of one sentence, which may contain a table name of any length."""

OUR_LABEL = "Alerts"
"""Replaces the label of a database for a problem of Mission Control itself."""

WRITES_STOPPED = "Writes stopped."

NOT_WATCHED = "It is no longer watched."
"""Why an incident ended whose cause may go on."""

OPEN_THEN = "Open then: "

MEASURED = {"measure_out_of_range", "measure_failed"}
"""Kinds whose cause begins with the label of a measure."""

EXACT = timedelta(minutes=1)
"""Clock times have minutes."""


def incident_text(labels: Sequence[str], sentences: Sequence[str]) -> str:
    """Return the text of an incident: the databases concerned, then each sentence once.

    Sentences are given worst first; those beyond `MAX_SENTENCES` are counted.
    """
    distinct = first_of(list(dict.fromkeys(sentences)), MAX_SENTENCES, "And {} more.")
    cause = " ".join(truncate(plain(text), MAX_SENTENCE_CHARACTERS) for text in distinct)
    names = join_names([truncate(label, MAX_LABEL_CHARACTERS) for label in labels])
    return f"{names.replace(SEPARATOR, ':' + NO_BREAK)}{SEPARATOR}{cause}"


def labels_and_cause(incident: Incident) -> tuple[str, str]:
    """Return the labels of the databases concerned, and the cause."""
    labels, _, cause = incident.text.partition(SEPARATOR)
    return labels.replace(f":{NO_BREAK}", SEPARATOR), cause


def incident_sentence(incident: Incident) -> str:
    """Return the text of an incident as people read it, with ordinary spaces."""
    return SEPARATOR.join(part for part in labels_and_cause(incident) if part)


def folder_gone(folder: Path) -> str:
    """Return the cause if a folder with several databases is gone."""
    return f"Their folder {short_path(folder)} is gone."


def process_gone(opener: Opener, labels: Sequence[str], since: datetime) -> str:
    """Return the cause if a process stopped that had the databases open, silent since `since`."""
    what = "it" if len(labels) == 1 else "them"
    return f"{closed(opener, what)} {clock(opener.until, since)}."


def closed(opener: Opener, what: str = "it") -> str:
    """Return that a process closed its databases, up to the time of that.

    After a pause of Mission Control, only the time at which it last had them open is known.
    """
    is_exact = (opener.missed_at or opener.until) - opener.until <= EXACT
    return f"{opener.command} (pid {opener.pid}) closed {what} {'at' if is_exact else 'after'}"


def open_then(openers: Sequence[Opener]) -> str:
    """Return the processes that had the databases open when a problem began; empty if none."""
    names = [process_name(opener.command, opener.pid, opener.unit) for opener in openers]
    return f"{OPEN_THEN}{join_names(list(dict.fromkeys(names)))}." if names else ""


def openers_of(incident: Incident) -> str:
    """Return who had its databases open when an incident began, unless its text says so."""
    lines = incident.evidence.splitlines()
    line = next((line for line in lines if line.startswith(OPEN_THEN)), "")
    return "" if line.removeprefix(OPEN_THEN).strip(" .") in incident.text else line


def evidence_of(incident: Incident) -> list[str]:
    """Return the lines of evidence, except who had its databases open."""
    lines = incident.evidence.splitlines()
    return [line for line in lines if not line.startswith(OPEN_THEN)]


def process_remedy(command: str) -> str:
    """Return the remedy if a writing process stopped."""
    return f"Start {command} again, if it should run."


def incident_line(incident: Incident) -> str:
    """Return an incident in one line, with its end or acknowledgement and its notifications."""
    parts = [incident_sentence(incident), *filter(None, [openers_of(incident)])]
    if incident.ended_at:
        parts.append(f"Over {after(incident.ended_at - incident.since)}.")
    elif incident.acknowledged:
        parts.append(f"{acknowledged_by(incident.acknowledged)}.")
    parts += [f"{line}." for line in (sent_line(incident), unsent_line(incident)) if line]
    return " ".join(parts)


def ending(incident: Incident) -> str:
    """Return how an incident ended and after how long, up to the time of its start.

    Of a late write nothing follows.
    """
    when = after((incident.ended_at or incident.since) - incident.since)
    if incident.kind == "late":
        return f"On time again {when} late"
    if incident.kind == "down":
        return f"Back {when}: had been down since"
    what = kind_in_brief(incident.kind)
    if incident.kind in MEASURED:
        what = f"{labels_and_cause(incident)[1].partition(SEPARATOR)[0]} {what}"
    return f"Over {when}: {what} since"


def acknowledged_by(acknowledgement: Acknowledgement) -> str:
    """Return until when (UTC) an incident is acknowledged, and by whom."""
    until = moment(acknowledgement.until) if acknowledgement.until else "it ends"
    return f"Acknowledged until {until}, by {acknowledgement.by}"


def sent_line(incident: Incident) -> str:
    """Return the number of notifications sent about an incident; empty if none."""
    count = sum(one.sent_at is not None for one in incident.notifications)
    return f"{plural(count, 'notification')} sent" if count else ""


def unsent_line(incident: Incident) -> str:
    """Return the number of notifications not sent, and the last failure; empty if none."""
    unsent = [one for one in incident.notifications if one.is_pending or one.is_given_up]
    yet = " yet" if any(one.is_pending for one in unsent) else ""
    why = next((f": {one.failure}" for one in reversed(unsent) if one.failure), "")
    return f"{plural(len(unsent), 'notification')} not sent{yet}{why}" if unsent else ""
