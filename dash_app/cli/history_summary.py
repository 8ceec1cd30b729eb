"""The table that `history` prints: one row of text per series."""

from __future__ import annotations

from collections.abc import Sequence

from dash_app.history.series import Metric, Series
from dash_app.words import numbers

Row = tuple[str, ...]

UNKNOWN = "unknown"


def summarize(found: Sequence[Series]) -> list[Row]:
    """Return a header and one row per series: its last, minimum and maximum value and its change.

    For rows written, the only number is their sum. All series are of one metric.
    """
    if found and found[0].metric == "inserted":
        return [("DATABASE", "TABLE", "WRITTEN"), *map(_total, found)]
    return [("DATABASE", "TABLE", "LAST", "MIN", "MAX", "CHANGE"), *map(_range, found)]


def _total(series: Series) -> Row:
    known = [value for _, value in series.points if value is not None]
    return series.database, series.table or "", numbers.number(sum(known)) if known else UNKNOWN


def _range(series: Series) -> Row:
    known = [value for _, value in series.points if value is not None]
    if not known:
        return series.database, series.table or "", *[UNKNOWN] * 4
    extremes = [*known, *(value for pair in series.ranges if pair for value in pair)]
    values = (known[-1], min(extremes), max(extremes))
    texts = (_value(series.metric, value) for value in values)
    change = _change(series.metric, known[-1] - known[0])
    return series.database, series.table or "", *texts, change


def _value(metric: Metric, value: int) -> str:
    return numbers.number(value) if metric == "rows" else numbers.size(value)


def _change(metric: Metric, value: int) -> str:
    if metric == "rows" or value == 0:
        return numbers.change(value)
    sign = "+" if value > 0 else "−"
    return f"{sign}{numbers.size(abs(value))}"
