"""What `history` prints: each series summed up in a row of text."""

from __future__ import annotations

from collections.abc import Sequence

from dash_app.history.series import Metric, Series
from dash_app.words import numbers

Row = tuple[str, ...]

UNKNOWN = "unknown"


def sums(found: Sequence[Series]) -> list[Row]:
    """Return a head and a row a series: its last, least and greatest value and its change.

    Of rows written, what they come to in all.
    """
    if found and found[0].metric == "inserted":
        return [("DATABASE", "TABLE", "WRITTEN"), *(_written(one) for one in found)]
    return [("DATABASE", "TABLE", "LAST", "LEAST", "GREATEST", "CHANGE"), *map(_course, found)]


def _written(one: Series) -> Row:
    known = [value for _, value in one.points if value is not None]
    return one.database, one.table or "", numbers.number(sum(known)) if known else UNKNOWN


def _course(one: Series) -> Row:
    known = [value for _, value in one.points if value is not None]
    if not known:
        return one.database, one.table or "", *[UNKNOWN] * 4
    reached = [*known, *(value for pair in one.ranges if pair for value in pair)]
    values = (_value(one.metric, value) for value in (known[-1], min(reached), max(reached)))
    return one.database, one.table or "", *values, _change(one.metric, known[-1] - known[0])


def _value(metric: Metric, value: int) -> str:
    return numbers.number(value) if metric == "rows" else numbers.size(value)


def _change(metric: Metric, value: int) -> str:
    if metric == "rows" or value == 0:
        return numbers.change(value)
    sign = "+" if value > 0 else "−"
    return f"{sign}{numbers.size(abs(value))}"
