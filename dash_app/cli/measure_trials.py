"""Measures that `suggest` proposes: those that may be worth having, each tried once.

They are tried by the process that asks for measures, within its limits.
"""

import tomllib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from dash_app.airlock.finder import Finder
from dash_app.airlock.measurer import Measurer
from dash_app.model.database import Database
from dash_app.model.measure import Answer, Measure
from dash_app.model.reading import Reading
from dash_app.settings.candidates import Candidate, candidates
from dash_app.settings.measures import MAX_MEASURES
from dash_app.system.processes import printable
from dash_app.words.measures import explain

SECONDS = 60.0
"""Maximum time to try the measures of one database. Beside a writer, each is followed by a rest."""

MAX_TRIED, MAX_PROPOSED = 200, 20
"""Maximum numbers of measures tried per database, and proposed at once per entry."""


def propose_measures(databases: Sequence[Database]) -> tuple[list[str], list[str]]:
    """Return the measures to add to an entry, as TOML, and remarks on what cannot be had.

    The measures of a pattern apply to all of its databases, so that each must have them.
    """
    tried = [_try(database) for database in databases]
    remarks = [remark for _, failed in tried for remark in failed]
    texts = [text for name, text in tried[0][0].items() if all(name in found for found, _ in tried)]
    free = MAX_MEASURES - max(len(database.measures) for database in databases)
    room = max(0, min(MAX_PROPOSED, free))
    if len(texts) > room:
        remarks.append(f"{len(texts) - room} more measures are not proposed at once")
    return texts[:room], remarks


def _try(database: Database) -> tuple[dict[str, str], list[str]]:
    """Return the measures for a database, as TOML by name, and remarks."""
    finder = Finder({"folders": [str(database.path)], "schema": True})
    finder.wait()
    schema = next(iter(finder.schemas.values()), None)
    if schema is None:
        return {}, [f"{database.name}: no measures, because its tables cannot be read now"]
    known = {text for measure in database.measures for text in (measure.name, measure.sql)}
    tried: dict[str, Candidate] = {}
    for candidate in candidates(schema):
        if candidate.name not in known:
            tried.setdefault(candidate.name, candidate)
    probes = tuple(
        Measure(name, name, timedelta(minutes=1), candidate.kind, candidate.probe)
        for name, candidate in islice(tried.items(), MAX_TRIED)
    )
    now = datetime.now(UTC)
    with closing(Measurer([replace(database, measures=probes)], 1.0, {})) as measurer:
        measurer.finish({database.name: Reading(now, now)}, SECONDS)
        answers = measurer.answers(database.name)
    found: dict[str, str] = {}
    remarks: list[str] = []
    for name, answer in answers.items():
        text = _settings(tried[name], answer)
        if text and tomllib.loads(text).get("sql") not in known:
            found[name] = text
        elif answer.failure and not text:
            remarks.append(printable(f"{database.name} {name}: {explain(answer.failure)}"))
    if untried := len(tried) - sum(bool(own.values or own.failure) for own in answers.values()):
        remarks.append(f"{database.name}: {untried} more measures were not tried")
    return found, remarks


def _settings(candidate: Candidate, answer: Answer) -> str | None:
    """Return the settings of a measure as TOML; None if it is not proposed."""
    if answer.values and answer.values[0].number is not None:
        return candidate.toml(int(answer.values[0].number))
    is_busy = answer.failure is not None and answer.failure.code == "waits"
    return candidate.toml(None) if is_busy else None
