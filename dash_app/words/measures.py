"""Measures in words: values with their units, limits that do not hold, and failures."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from math import floor, log10

from dash_app.model.measure import AGE, MAX_ROWS, Failure, Measure, MeasureReport, Value
from dash_app.words.numbers import (
    age,
    change,
    clock,
    every,
    first_of,
    join_names,
    moment,
    number,
    size,
)

Sentence = tuple[str, datetime | None]
UNKNOWN = "unknown"
DIGITS = 4
"""Significant digits of a number with a fraction."""

HUGE = 1e13
"""From here on, units are not converted: no duration has as many seconds."""

DURATIONS = {"s": 1.0, "ms": 0.001}
SCALED_UNITS = {"bytes", "%", AGE, *DURATIONS}
"""Units that are part of a number. All others stand behind it, as they are."""

FAILURES = {
    "sql": "SQLite: {text}. Tables: {tables}.",
    "refused": "Its query may only read: {what} is refused.",
    "slow": "Its query takes longer than {ms} ms{scans}.",
    "busy": "The machine was too busy to answer its query within {ms} ms.",
    "memory": "Its query needs too much memory.",
    "needs too much memory": "Its query needs too much memory.",
    "cannot be interrupted": "Its query did not end when it was interrupted.",
    "crashed": "The process that ran its query crashed.",
    "hung": "Its query did not end.",
    "no_table": "There is no table {table}. Tables: {tables}.",
    "damaged": "Its query met damage, or a table that SQLite cannot read.",
    "virtual_table": "A virtual table, such as FTS5, finds its own index damaged or out of date.",
    "columns": "Its query returns {columns} columns: return a number, or a label and a number.",
    "rows": "Its query returns several rows of one column: return one number, or label each.",
    "labels": f"Its query returns {MAX_ROWS:,} labels or more: return fewer.",
    "label_twice": "Its query returns a label twice: {label}.",
    "not_a_number": "Its query returns {type} where a number belongs.",
    "not_a_time": (
        "Its query does not return a time: return ISO text, seconds, milliseconds or a Julian day."
    ),
    "time_unit": "Its query returns a time in {unit}: return seconds or milliseconds.",
    "future": "Its query returns a time {days} days ahead: its unit or zone may be wrong.",
    "waits": "Not measured since {since}: {why}.",
}
"""Why a measure could not be had, by the code of the failure."""

FAILURE_REMEDIES = {
    "no_table": "Correct its `table` in the configuration.",
    "slow": "Let its query read fewer rows, for instance with an index.",
    "busy": "See what uses processor and disk, or let its query read fewer rows.",
    "virtual_table": "Its program can rebuild that index.",
    "waits": "It is asked again by itself.",
}
"""What to do about a failure, if not to correct the query."""


def value_text(value: float | None, unit: str) -> str:
    """Return a value with its unit: 1,204, 12.5%, 4.2 MB, 3 h, 0.35 USD; unknown."""
    if value is None:
        return UNKNOWN
    if abs(value) >= HUGE:
        return f"{number_text(value)} {unit}".rstrip()
    if unit == "bytes":
        return f"{'−' if value < 0 else ''}{size(int(abs(value)))}"
    if unit == AGE:
        return age(timedelta(seconds=value))
    if unit in DURATIONS:
        return _duration(value * DURATIONS[unit])
    text = number_text(value)
    return f"{text}%" if unit == "%" else f"{text} {unit}".rstrip()


def change_text(value: float, unit: str) -> str:
    """Return a difference with its sign: +24, −3 USD; no change, also of an age by under 2 s."""
    text = value_text(abs(value), unit)
    if not value or (unit == AGE and text == age(timedelta(0))):
        return change(0)
    return f"{'+' if value > 0 else '−'}{text}"


def number_text(value: float) -> str:
    """Return a number with thousands separators and four digits: 1,204, 0.3512, 12.5, 12,345."""
    if value == int(value) and abs(value) < 1e15:
        text = number(int(value))
    elif abs(value) >= 1e15 or abs(value) < 1e-6:
        text = f"{value:.3e}"
    else:
        decimals = max(DIGITS - 1 - floor(log10(abs(value))), 0)
        text = f"{value:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−", 1) if value < 0 else text


def _duration(seconds: float) -> str:
    if abs(seconds) < 1:
        return f"{number_text(seconds * 1000)} ms"
    if abs(seconds) < 60:
        return f"{number_text(seconds)} s"
    text = age(timedelta(seconds=abs(seconds)))
    return f"−{text}" if seconds < 0 else text


def out_of_range(report: MeasureReport, since: datetime) -> Sentence:
    """Describe the values outside the limits of a measure: Open tasks: 63, more than 50.

    `since` is when the problem began. Return the sentence and, of an age, the time in it from which
    the age counts: the sentence is stored.
    """
    measure, wrong = report.measure, report.out_of_range
    if measure.kind in {"foreign_keys", "no_rows"}:
        rows = int(wrong[0].number or 0)
        count = f"{number(rows)} or more" if rows == MAX_ROWS else number(rows)
        return f"{measure.label}: {count}, none allowed.", None
    wrong = tuple(sorted(wrong, key=lambda value: -(value.number or 0)))
    old = " old" if measure.unit == AGE else ""
    named: dict[str, list[str]] = {}
    for value in wrong:
        text, limit = _compared(report, value, since)
        named.setdefault(limit, []).append(f"{_named(value)}{text}")
    if old:  # only the first age can be kept up to date
        named = {key: first_of(texts, 1) for key, texts in named.items()}
    clauses = [
        f"{join_names(texts)}, {'each ' if texts[1:] else ''}{limit}{old}"
        for limit, texts in named.items()
    ]
    return f"{measure.label}: {'; '.join(clauses)}.", wrong[0].time


def _compared(report: MeasureReport, value: Value, since: datetime) -> tuple[str, str]:
    """Return a value out of range, or the time of an age, and the limit that it breaks: 3, not 2.

    Both have all their digits if they would look the same without.
    """
    measure, found = report.measure, value.number or 0
    limit, words = measure.greatest or 0, "more than {}"
    if measure.equals is not None:
        limit, words = measure.equals, "not {}"
    elif measure.least is not None and found < measure.least:
        is_rows = measure.kind == "rows_written"
        limit, words = measure.least, "fewer than {} rows" if is_rows else "less than {}"
    text, limit_text = value_text(found, measure.unit), _limit(limit, measure.unit)
    if measure.unit == AGE:
        at = (report.measured_at or since).timestamp() - found
        text = f"from {clock(value.time or datetime.fromtimestamp(max(at, 0), UTC), since)}"
    elif text == value_text(limit, measure.unit):
        exact = (f"{one:,.15g}".replace("-", "−") for one in (found, limit))
        text, limit_text = (f"{one} {measure.unit}".rstrip() for one in exact)
    return text, words.format(limit_text)


def explain(failure: Failure) -> str:
    """Return why a measure could not be had, in a sentence."""
    facts = {"tables": "none", **{key: value for key, value in failure.detail.items() if value}}
    scans = failure.detail.get("scans")
    facts["scans"] = f" and reads all of {scans}" if scans else ""
    facts["since"] = moment(failure.since)
    return FAILURES.get(failure.code, "Its query failed.").format_map(defaultdict(str, facts))


def _named(value: Value) -> str:
    return f"{value.label} " if value.label is not None else ""


def limits_text(measure: Measure) -> str:
    """Return the limits of a measure: at most 50, 1 to 5, exactly 3, no rows; or nothing."""
    limits = measure.least, measure.greatest, measure.equals
    least, greatest, equals = (
        None if limit is None else _limit(limit, measure.unit) for limit in limits
    )
    if measure.kind in {"foreign_keys", "no_rows"}:
        return "no rows"
    if equals is not None:
        return f"exactly {equals}"
    if least is not None and greatest is not None:
        return f"{least} to {greatest}"
    if least is not None:
        return f"at least {least}"
    return f"at most {greatest}" if greatest is not None else ""


def _limit(limit: float, unit: str) -> str:
    """Return a limit with its unit. A time is not rounded: 90 min."""
    seconds = limit * {AGE: 1.0, **DURATIONS}.get(unit, 0.0)
    if not 60 <= seconds < HUGE:
        return value_text(limit, "s" if unit == AGE else unit)
    length = every(timedelta(seconds=seconds)).removeprefix("every ")
    return {"day": "1 d", "hour": "1 h", "minute": "1 min"}.get(length, length)
