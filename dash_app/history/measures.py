"""Which values of measures the history stores, and in which series."""

from collections import Counter
from collections.abc import Iterable

from dash_app.model.measure import AGE, OTHERS, MeasureReport
from dash_app.model.snapshot import DatabaseStatus

Key = tuple[str, str | None, str, str | None]
"""A series: database, table or None, metric, and of a measure with several values the label."""

MAX_LABELS = 50
"""Maximum number of labels of a measure with a series of their own, until they are pruned."""


def measured_values(
    status: DatabaseStatus, series: Iterable[Key], since: int
) -> dict[Key, float | None]:
    """Return the values of measures, except those that could not be renewed since a time.

    A measure has at most `MAX_LABELS` series with labels of its own, in addition to the given ones.
    Values with other labels are one series, `OTHERS`.
    """
    name = status.database.name
    known = {key for key in series if key[0] == name and key[3] not in {None, OTHERS}}
    count = Counter(metric for _, _, metric, _ in known)
    found: dict[Key, float | None] = {}
    for report in status.measures:
        metric, others = report.measure.metric, []
        for value in report.values if _is_current(report, since) else ():
            key = name, None, metric, value.label
            is_new = value.label is not None and key not in known
            if is_new and (value.label == OTHERS or count[metric] >= MAX_LABELS):
                others.append(value)
            else:
                count[metric] += is_new
                found[key] = _stored(report, value.number)
        if others:
            found[name, None, metric, OTHERS] = _stored(report, report.combined(others))
    return found


def _is_current(report: MeasureReport, since: int) -> bool:
    """Whether values are of the time since then; those of a window hold until the next one."""
    at = report.measured_at
    is_earlier = at is not None and at.timestamp() < since and report.measure.window is None
    return not (report.is_old or is_earlier)


def _stored(report: MeasureReport, number: float | None) -> float | None:
    """Return a number as it is stored: whole seconds of an age take three bytes."""
    if number is None:
        return None
    return float(round(number) if report.measure.unit == AGE else number)
