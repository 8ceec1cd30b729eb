"""What is wrong with the measures, each asked once without the service."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

from dash_app.airlock.measurer import Measurer
from dash_app.doctor.check import Check
from dash_app.doctor.databases import read
from dash_app.model.measure import Answer, Failure
from dash_app.settings import Settings
from dash_app.words.measures import FAILURE_REMEDIES, explain
from dash_app.words.numbers import join_names, plural
from dash_app.words.problems import REMEDIES, plain

ASK_SECONDS = 15.0
"""Maximum time for all measures. A query that hangs ends after 10 s, and the others follow."""


def examine(settings: Settings) -> Iterator[Check]:
    """Yield each failure once, with the databases that can be read and have it.

    A single one counts, with which the service has patience.
    """
    databases = [database for database in settings.databases if database.measures]
    if not databases:
        return
    readings, _guards = read(settings)
    with closing(Measurer(databases, 1.0, {})) as measurer:
        measurer.finish(readings, ASK_SECONDS)
    failures: dict[tuple[str, str], list[str]] = {}
    answered = 0
    for database in databases:
        reading = readings.get(database.name)
        if reading is None or reading.code or reading.surroundings.conflicts:
            continue
        answers = measurer.answers(database.name)
        for measure in database.measures:
            answer = answers.get(measure.name)
            if answer and (failure := answer.failure or _no_answer(answer)):
                key = f"{measure.label}: {plain(explain(failure))}", failure.code
                failures.setdefault(key, []).append(database.label)
            answered += bool(answer and answer.measured_at)
    for (text, code), labels in failures.items():
        cure = FAILURE_REMEDIES.get(code, REMEDIES["measure_failed"])
        yield Check("notice", "measure_failed", f"{join_names(labels)}: {text}", cure)
    if answered:
        verb = "answers" if answered == 1 else "answer"
        yield Check("well", "measures", f"{plural(answered, 'measure')} {verb}.")


def _no_answer(answer: Answer) -> Failure | None:
    """Return the failure of a measure that was not asked in time."""
    now = datetime.now(UTC)
    return None if answer.measured_at else Failure("waits", now, {"why": "others took too long"})
