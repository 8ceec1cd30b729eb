"""The lines of `status`: from the document of `/api/db-status` to text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import click

from dash_app.api.schemas import Database, StatusDocument
from dash_app.cli.terminal import printable
from dash_app.model.level import SEVERITY
from dash_app.model.reading import UNDECIDED
from dash_app.words import numbers
from dash_app.words.problems import badge_text, other_problems

COLOURS = {"well": "green", "notice": "yellow", "fault": "red", "unknown": "bright_black"}


def is_fresh(document: StatusDocument, now: datetime, fresh_for: timedelta) -> bool:
    """Whether a document of the service is young enough to say how things are."""
    return now - _time(document["takenAt"]) <= fresh_for


def lines(document: StatusDocument, now: datetime, fresh_for: timedelta) -> Iterator[str]:
    """Yield the headline and a line a database, worst first; remedies stand below."""
    fresh, taken_at = is_fresh(document, now, fresh_for), _time(document["takenAt"])
    headline = document["headline"] if fresh else "Can't tell"
    yield f"{headline} · {taken_at:%H:%M:%S} UTC, {numbers.ago(now - taken_at)}"
    if not fresh:
        yield "The service answers but stopped reading then. What it knew last:"
    databases = sorted(document["databases"], key=_rank)
    marks = [_mark(one) for one in databases]
    wide = max(len(mark) for mark in marks)
    names = max(len(one["label"]) for one in databases)
    for mark, one in zip(marks, databases, strict=True):
        colour = COLOURS.get(one["level"] if fresh and not _is_paused(one) else "unknown", "red")
        state = click.style(mark.ljust(wide), fg=colour)
        yield f"{state}  {one['label']:{names}}  {printable(_sentences(one, now))}"
        for remedy in _remedies(one):
            yield f"{'':{wide}}  {'':{names}}  {remedy}"


def _rank(one: Database) -> tuple[int, str]:
    """Return less for what needs a person more, or longer."""
    level = one["level"] if one["level"] in SEVERITY else SEVERITY[-1]  # a later version's own
    since = _since(one) if level == SEVERITY[-1] or one["findings"] else "~"
    return -SEVERITY.index(level), since


def _since(one: Database) -> str:
    """Return since when the worst thing is true of a database."""
    return one["findings"][0]["since"] if one["findings"] and not one["error"] else one["since"]


def _mark(one: Database) -> str:
    """Return the worst thing true of a database, in the words of the glance."""
    code = one["error"]["code"] if one["error"] else None
    if code in UNDECIDED or (code == "locked" and one["level"] == "unknown"):
        return badge_text("undecided")
    if one["level"] == "unknown":
        return "stale"
    if _is_paused(one):
        return badge_text("paused")
    if one["findings"] and one["status"] == "connected":
        return badge_text(one["findings"][0]["kind"])
    return badge_text(one["status"])


def _is_paused(one: Database) -> bool:
    watch = one.get("watch")  # which a service that is older than this command does not tell
    return bool(watch and watch["paused"])


def _sentences(one: Database, now: datetime) -> str:
    """Return what is true of a database, and since when; times in UTC."""
    parts = [one["verdict"]]
    if one["status"] != "not_initialized" and (one["error"] or one["findings"]):
        since = _time(_since(one))
        parts.append(f"Since {numbers.clock(since, now)} ({numbers.age(now - since)}).")
    found = [(f["kind"], f.get("table"), f["text"]) for f in one["findings"]]
    parts += other_problems(one["verdict"], found)
    if good := one["lastGood"]:
        parts.append(f"Last seen {numbers.plural(good['totalRows'], 'row')}.")
    if one["status"] == "connected":
        parts += _numbers(one, now)
    if one["level"] == "unknown" and not one["error"]:
        verified_at = _time(one["verifiedAt"])
        as_of = f"As of {numbers.clock(verified_at, now)}"
        parts.append(f"{as_of}, {numbers.ago(now - verified_at)}.")
    return " ".join(parts)


def _numbers(one: Database, now: datetime) -> Iterator[str]:
    if one["findings"] and one["totalRows"] is not None:
        yield f"{numbers.plural(one['totalRows'], 'row')}."
    if change := one["change"]:
        since = _time(change["since"])
        when = "in 24 h" if numbers.is_one_day(since, now) else f"since {numbers.clock(since, now)}"
        text = numbers.change(change["rows"])
        yield f"{text[0].upper()}{text[1:]} {when}."
    if one["lastModified"]:
        yield f"Last write {numbers.ago(now - _time(one['lastModified']))}."


def _remedies(one: Database) -> list[str]:
    """Return what to do, each thing once."""
    found = [one["error"]["remedy"]] if one["error"] else []
    return list(dict.fromkeys([*found, *(finding["remedy"] for finding in one["findings"])]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
