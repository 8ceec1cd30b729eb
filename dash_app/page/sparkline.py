"""The last 24 hours of a database as a drawing: a bar per hour, above a ribbon of its levels."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import get_args

from dash.development.base_component import Component

from dash_app.model.event import Absence
from dash_app.model.incident import Incident
from dash_app.model.problem import Level, worst
from dash_app.model.reading import Code
from dash_app.model.snapshot import DatabaseStatus
from dash_app.page.markup import Own
from dash_app.page.widgets import aria

HTML = "dash_html_components"
HOUR = timedelta(hours=1)
PITCH, BAR_WIDTH, AIR = 10, 7, 2
STUB_HEIGHT, MIN_BAR_HEIGHT, MIN_SCALE_ROWS = 2, 4, 4
"""An hour without rows is a stub; a single row is higher, but no tower."""

RIBBON_TOP, RIBBON_HEIGHT = 1, 3
RIBBON = {"well": ("ok", 1), "notice": ("warn", 2), "fault": ("bad", 3)}
"""Colour and height of each level."""

UNREADABLE = {*get_args(Code), *get_args(Absence)}
"""Kinds of incidents during which no reading succeeds. The history calls that time not watched."""


def sparkline(
    status: DatabaseStatus, incidents: Iterable[Incident], height: int = 24
) -> list[Component]:
    """Return the drawing of a database, whose bars have a height in px; none if it was never read.

    It is as wide as its place, 4 px higher than its bars, and grows with the text. Screen readers
    skip it.
    """
    activity = status.activity
    if not (activity and activity.last_hour and status.last_good):
        return []
    own = [incident for incident in incidents if status.database.name in incident.databases]
    levels = hour_levels(own, activity.watched, activity.last_hour)
    shapes = [*_bars(activity.hours, height), *_ribbon(levels, height + RIBBON_TOP)]
    paths: dict[str, str] = {}  # by their class
    for name, shape in shapes:
        paths[name] = paths.get(name, "") + shape
    total_height = height + RIBBON_TOP + RIBBON_HEIGHT
    drawing = Own(
        "Svg",
        HTML,
        children=[Own("Path", HTML, d=path, className=name) for name, path in paths.items()],
        className="sparkline is-idle" if status.is_paused or status.is_stale else "sparkline",
        height=f"{total_height / 16}rem",
        viewBox=f"0 0 {PITCH * len(activity.hours) - (PITCH - BAR_WIDTH)} {total_height}",
        preserveAspectRatio="none",
        **aria(hidden="true"),
    )
    return [drawing]


def hour_levels(
    incidents: Sequence[Incident], watched: Sequence[bool], last_hour: datetime
) -> list[Level | None]:
    """Return the worst level of a database in each hour up to the last; None if unwatched.

    `incidents` are those of the database.
    """
    levels: list[Level | None] = []
    for hours_ago, is_watched in zip(range(len(watched))[::-1], watched, strict=True):
        start = last_hour - hours_ago * HOUR
        found = [
            level
            for incident in incidents
            if is_watched or incident.kind in UNREADABLE
            for level, since, until in _levels(incident)
            if since < start + HOUR and not (until and until <= start)
        ]
        levels.append(worst(found) if found or is_watched else None)
    return levels


def _levels(incident: Incident) -> Iterator[tuple[Level, datetime, datetime | None]]:
    """Yield the levels of an incident, each with its start and its end."""
    yield "notice", incident.since, incident.ended_at
    if incident.fault:
        yield "fault", *incident.fault


def _bars(hours: Sequence[int | None], height: int) -> Iterator[tuple[str, str]]:
    """Yield the class and shape of each bar. The current hour is pale."""
    scale = max(MIN_SCALE_ROWS, *(rows or 0 for rows in hours))
    for at, rows in enumerate(hours):
        if rows is not None:
            name = "silent" if rows <= 0 else "current" if at == len(hours) - 1 else "written"
            bar = max(MIN_BAR_HEIGHT, round((height - AIR) * rows / scale))
            bar = bar if rows > 0 else STUB_HEIGHT
            yield name, f"M{at * PITCH} {height}v-{bar}h{BAR_WIDTH}v{bar}"


def _ribbon(levels: Iterable[Level | None], top: int) -> Iterator[tuple[str, str]]:
    """Yield the class and shape of each segment. Equal hours run together as one line."""
    start = 0
    for level, hours in groupby(levels):
        width = PITCH * len(list(hours))
        if level:
            name, thickness = RIBBON[level]
            yield name, f"M{start} {top}h{width}v{thickness}h-{width}"
        start += width
