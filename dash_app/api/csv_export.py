"""The history as a sheet for spreadsheets: a line a value."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dash_app.api.schemas import Series


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of a cell that spreadsheets take for a formula (owasp.org, "CSV Injection")."""


def csv_of(series: Iterable[Series]) -> str:
    """Return the series of the document of `/api/history` as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("time", "database", "table", "metric", "unit", "value"))
    for one in series:
        labels = (_text(one["database"]), _text(one["table"]), one["metric"], one["unit"])
        writer.writerows((time, *labels, value) for time, value in one["points"])
    return text.getvalue()


def _text(name: str | None) -> str | None:
    """Return a name as a cell: an apostrophe keeps a spreadsheet from calculating it."""
    return f"'{name}" if name and name.startswith(FORMULA) else name
