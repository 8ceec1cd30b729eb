"""A history of the minutes since a start, and the chart of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from dash_app.history import series
from dash_app.history.chart_grid import Window
from dash_app.history.series import Selection

START = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def chart_values(path: Path, minutes: range) -> list[int | None]:
    """Return the rows of the table `tasks` in a chart, at each of these minutes."""
    start = int(START.timestamp())
    window = Window(start + minutes.start * 60, start + (minutes.stop - 1) * 60, 60)
    (tasks,) = series.find_series(path, Selection(tables=("tasks",)), window)
    return [value for _, value in tasks.points]
