"""What a request may ask for: its parameters, read and refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar, get_args

from flask import request

from dash_app.history.chart_grid import Window
from dash_app.history.event_queries import Wanted
from dash_app.history.incidents import WantedIncidents
from dash_app.history.series import Extent, Metric, Selection
from dash_app.model.event import EventKind
from dash_app.settings import Settings

Choice = TypeVar("Choice", bound=str)
Format = Literal["json", "csv"]

DEFAULT_REACH = timedelta(hours=24)
DEFAULT_POINTS = 500
MAX_POINTS = 5000
MAX_POINTS_IN_ALL = 100_000
"""Of every series together: 40 MB while they are read and sent, at 390 bytes each."""

MAX_BYTES, POINT_BYTES = 16_000_000, 80
"""Maximum size of an answer of the history, and of a point in it without its names."""

DEFAULT_EVENTS = 50
MAX_EVENTS = 500
MAX_CURSOR = 2**63 - 1
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Times beyond count as these."""

ROUTES: dict[str, tuple[str, ...]] = {
    "/api/db-status": (),
    "/api/databases/<name>": (),
    "/api/history": ("database", "table", "metric", "from", "to", "points", "format"),
    "/api/events": ("database", "kind", "since", "before", "limit"),
    "/api/incidents": ("open", "database", "before", "limit"),
    "/api/service": (),
    "/api/openapi.json": (),
    "/health": (),
    "/glance": (),
    "/metrics": (),
}
"""The parameters of each route that OpenAPI describes; any other is refused."""

TRUTHS = ("true", "false")
REPEATABLE = {"database", "table", "kind"}


class ParameterError(ValueError):
    """A query parameter that cannot be used; the text names it and what is allowed."""


@dataclass(frozen=True, slots=True)
class WantedHistory:
    """What of the history is wanted: which series, at most how many points of each, up to when."""

    selection: Selection
    since: datetime
    until: datetime
    ends_now: bool
    points: int | None
    every_seconds: float
    as_csv: bool

    def window(self, extent: Extent) -> Window:
        """Return the window for some series. Raise ParameterError if the answer is too large."""
        most = self._most_points(extent)
        points = self.points or max(1, min(DEFAULT_POINTS, most))
        if points > most:
            raise ParameterError(
                f"points must be at most {most} for {extent.series} series: an answer has "
                f"{MAX_POINTS_IN_ALL} points and {MAX_BYTES // 1_000_000} MB at most. "
                "Ask for fewer points, or by table."
            )
        # The end takes one of the points, and a grid that begins at an instant one more.
        grid = Window.between(self.since, self.until, max(1, points - 2), self.every_seconds)
        return grid.to_its_end(self.until)

    def _most_points(self, extent: Extent) -> int:
        """Return the maximum number of points per series. CSV repeats the names at each point."""
        series = max(1, extent.series)
        once, at_each = (0, extent.name_bytes) if self.as_csv else (extent.name_bytes, 0)
        by_size = (MAX_BYTES - once) // (series * POINT_BYTES + at_each)
        return max(0, min(MAX_POINTS_IN_ALL // series, by_size))


def refuse_unknown(allowed: tuple[str, ...]) -> None:
    """Refuse what a route does not know, and what stands twice. Raises ParameterError."""
    for name, values in request.args.lists():
        if name not in allowed:
            known = f"Allowed: {', '.join(allowed)}." if allowed else "None is allowed here."
            raise ParameterError(f"There is no parameter {name}. {known}")
        if len(values) > 1 and name not in REPEATABLE:
            raise ParameterError(f"{name} may be given once.")


def wanted_history(settings: Settings) -> WantedHistory:
    """Return what of the history a request asks for. Raises ParameterError."""
    metric = _one_of("metric", request.args.get("metric", "rows"), get_args(Metric))
    tables = tuple(request.args.getlist("table"))
    until = _time("to", datetime.now(UTC))
    since = _time("from", until - DEFAULT_REACH)
    if since >= until:
        raise ParameterError("from must lie before to.")
    return WantedHistory(
        selection=Selection(_databases(settings), tables, metric),
        since=since,
        until=until,
        ends_now="to" not in request.args,
        points=_whole("points", 1, MAX_POINTS),
        every_seconds=settings.history.every.total_seconds(),
        as_csv=_one_of("format", request.args.get("format", "json"), get_args(Format)) == "csv",
    )


def wanted_events(settings: Settings) -> Wanted:
    """Return which events a request asks for. Raises ParameterError."""
    return Wanted(
        databases=_databases(settings),
        kinds=tuple(
            _one_of("kind", kind, get_args(EventKind)) for kind in request.args.getlist("kind")
        ),
        before=_whole("before", 1, MAX_CURSOR),
        most=_whole("limit", 1, MAX_EVENTS) or DEFAULT_EVENTS,
        since=_cursor_or_time("since"),
    )


def wanted_incidents(settings: Settings) -> WantedIncidents:
    """Return which incidents a request asks for. Raises ParameterError."""
    is_open = request.args.get("open")
    return WantedIncidents(
        databases=_databases(settings),
        is_open=None if is_open is None else _one_of("open", is_open, TRUTHS) == "true",
        before=_whole("before", 1, MAX_CURSOR),
        most=_whole("limit", 1, MAX_EVENTS) or DEFAULT_EVENTS,
    )


def _databases(settings: Settings) -> tuple[str, ...]:
    names = tuple(database.name for database in settings.databases)
    return tuple(_one_of("database", name, names) for name in request.args.getlist("database"))


def _one_of(name: str, value: str, allowed: tuple[Choice, ...]) -> Choice:
    for choice in allowed:
        if choice == value:
            return choice
    raise ParameterError(f"{name} must be one of {', '.join(allowed)}.")


def _whole(name: str, least: int, most: int) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    if not _is_whole(text) or not least <= int(text) <= most:
        raise ParameterError(f"{name} must be a whole number from {least} to {most}.")
    return int(text)


def _is_whole(text: str) -> bool:
    # int() refuses what has thousands of digits by an error of its own.
    return text.isascii() and text.isdigit() and len(text) <= len(str(MAX_CURSOR))


def _time(name: str, default: datetime) -> datetime:
    text = request.args.get(name)
    time = default if text is None else _parsed(text)
    if time is None:
        raise ParameterError(f"{name} must be a time with its zone, such as 2026-11-23T15:00:00Z.")
    return time


def _cursor_or_time(name: str) -> int | datetime | None:
    text = request.args.get(name)
    if text is None:
        return None
    found = int(text) if _is_whole(text) and int(text) <= MAX_CURSOR else _parsed(text)
    if found is None:
        example = "2026-11-23T15:00:00Z"
        raise ParameterError(f"{name} must be the next of an answer, or a time such as {example}.")
    return found


def _parsed(text: str) -> datetime | None:
    """Return a time that names its zone; None for anything else."""
    try:
        time = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if time.tzinfo is None:
        return None
    return min(max(time, EARLIEST), LATEST).astimezone(UTC)
