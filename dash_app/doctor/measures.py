"""What is wrong with the measures, each asked once without the service."""

from collections.abc import Iterator, Mapping
from contextlib import closing

from dash_app.airlock.measurer import Measurer
from dash_app.doctor.check import Check
from dash_app.doctor.databases import read
from dash_app.model.database import Database
from dash_app.model.measure import Answer
from dash_app.settings import Settings
from dash_app.words.measures import FAILURE_REMEDIES, explain
from dash_app.words.numbers import join_names, plural
from dash_app.words.problems import REMEDIES, plain

ASK_SECONDS = 15.0
"""Maximum time for all measures. A query that hangs ends after 10 s, and the others follow."""


def examine(settings: Settings) -> Iterator[Check]:
    """Yield what is wrong with each measure of the databases that can be read."""
    databases = [database for database in settings.databases if database.measures]
    if not databases:
        return
    readings, _guards = read(settings)
    with closing(Measurer(databases, 1.0, {})) as measurer:
        measurer.finish(readings, ASK_SECONDS)
    for database in databases:
        reading = readings.get(database.name)
        if reading and reading.code is None and not reading.surroundings.conflicts:
            yield from _checks(database, measurer.answers(database.name))


def _checks(database: Database, answers: Mapping[str, Answer]) -> Iterator[Check]:
    """Yield a check per failure, also those with which the service has patience."""
    answered, unanswered = 0, []
    for measure in database.measures:
        answer = answers.get(measure.name, Answer())
        if answer.failure:
            text = f"{database.label}: {measure.label}: {plain(explain(answer.failure))}"
            cure = FAILURE_REMEDIES.get(answer.failure.code, REMEDIES["measure_failed"])
            yield Check("notice", "measure_failed", text, cure)
        elif answer.measured_at:
            answered += 1
        elif measure.kind != "rows_written":
            unanswered.append(measure.label)
    if unanswered:
        text = f"{database.label}: no answer within {ASK_SECONDS:g} s: {join_names(unanswered)}."
        yield Check("unknown", "measure_not_answered", text, "Look at their queries.")
    if answered:
        verb = "answers" if answered == 1 else "answer"
        yield Check("well", "measures", f"{database.label}: {plural(answered, 'measure')} {verb}.")
