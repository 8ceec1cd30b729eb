"""The history as a sheet for spreadsheets: a line a value."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dash_app.api.documents import Series


def csv_of(series: Iterable[Series]) -> str:
    """Return the series of the document of `/api/history` as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("time", "database", "table", "metric", "unit", "value"))
    for one in series:
        labels = (one["database"], one["table"], one["metric"], one["unit"])
        writer.writerows((time, *labels, value) for time, value in one["points"])
    return text.getvalue()
