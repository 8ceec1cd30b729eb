"""What is wrong with the measures, each asked once without the service."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

from dash_app.airlock.measurer import Measurer
from dash_app.doctor.check import Check
from dash_app.doctor.databases import read
from dash_app.model.measure import Answer, missing_table
from dash_app.settings import Settings
from dash_app.words.measures import FAILURE_REMEDIES, explain
from dash_app.words.numbers import join_names, number, plural
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
    answers: list[Answer] = []
    for database in databases:
        reading = readings.get(database.name)
        if reading is None or reading.code or reading.surroundings.conflicts:
            continue
        asked = measurer.answers(database.name)
        answers += asked.values()
        for measure in database.measures:
            failure = asked.get(measure.name, Answer()).failure
            if failure := failure or missing_table(measure, reading.tables, datetime.now(UTC)):
                text = f"{measure.label}: {plain(explain(failure))}"
                failures.setdefault((text, failure.code), []).append(database.label)
    for (text, code), labels in failures.items():
        cure = FAILURE_REMEDIES.get(code, REMEDIES["measure_failed"])
        yield Check("notice", "measure_failed", f"{join_names(labels)}: {text}", cure)
    if not answers:
        return
    answered = sum(answer.measured_at is not None for answer in answers)
    is_over = all(answer.measured_at or answer.failure for answer in answers)
    text = f"{number(answered)} of {plural(len(answers), 'measure')} answered."
    yield Check("well" if is_over else "unknown", "measures", text)
