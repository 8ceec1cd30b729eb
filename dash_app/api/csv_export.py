"""The history as CSV, one line per value."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dash_app.api.schemas import Series


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a cell that spreadsheets read as a formula (owasp.org, "CSV Injection")."""


def to_csv(series: Iterable[Series]) -> str:
    """Return the series of `/api/history` as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("time", "database", "table", "metric", "unit", "value", "label"))
    for line in series:
        names = (_text(line["database"]), _text(line["table"]), line["metric"], _text(line["unit"]))
        label = _text(line["label"])
        writer.writerows((time, *names, value, label) for time, value in line["points"])
    return text.getvalue()


def _text(name: str | None) -> str | None:
    """Return a name as a cell; an apostrophe keeps spreadsheets from evaluating it."""
    return f"'{name}" if name and name.startswith(FORMULA) else name
