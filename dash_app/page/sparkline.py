"""The last 24 hours of a database as a drawing: a bar per hour, above a ribbon of its levels."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import get_args

from dash.development.base_component import Component

from dash_app.model.event import Absence
from dash_app.model.incident import Incident
from dash_app.model.problem import Level, worst
from dash_app.model.reading import Code
from dash_app.model.snapshot import DatabaseStatus
from dash_app.page.markup import Path, Svg
from dash_app.page.widgets import aria

PITCH, BAR_WIDTH = 10, 7
STUB_HEIGHT, MIN_BAR_HEIGHT, AIR = 2, 4, 2
"""Heights of an hour without rows and of one with a single row, and the air above the highest."""

MIN_SCALE_ROWS = 4
"""The scale ends at this many rows or more, so that a single row is no tower."""

RIBBON_TOP, RIBBON_HEIGHT = 1, 3
RIBBON: dict[Level, tuple[str, int]] = {
    "well": ("ok", 1),
    "notice": ("warn", 2),
    "unknown": ("warn", 2),
    "fault": ("bad", 3),
}
"""Colour and height of each level."""

UNREADABLE = {*get_args(Code), *get_args(Absence)}
"""Kinds of incidents during which no reading succeeds. The history calls that time not watched."""

HOUR = timedelta(hours=1)


def sparkline(
    status: DatabaseStatus, incidents: Iterable[Incident], now: datetime, height: int = 24
) -> list[Component]:
    """Return the drawing of a database, whose bars have a height in px; none if it was never read.

    It is as wide as its place, and 4 px higher than its bars. Screen readers skip it.
    """
    activity = status.activity
    if activity is None or status.last_good is None:
        return []
    own = [incident for incident in incidents if status.database.name in incident.databases]
    levels = hour_levels(own, activity.watched, now)
    shapes = _bars(activity.hours, height) | _ribbon(levels, height + RIBBON_TOP)
    total_height = height + RIBBON_TOP + RIBBON_HEIGHT
    width = PITCH * (len(activity.hours) - 1) + BAR_WIDTH
    is_idle = status.is_paused or status.is_stale
    return [
        Svg(
            children=[Path(d=shape, className=name) for name, shape in shapes.items() if shape],
            className=f"sparkline{' is-idle' if is_idle else ''}",
            height=str(total_height),
            viewBox=f"0 0 {width} {total_height}",
            preserveAspectRatio="none",
            **aria(hidden="true"),
        )
    ]


def hour_levels(
    incidents: Iterable[Incident], watched: Sequence[bool], now: datetime
) -> list[Level | None]:
    """Return the worst level of a database in each hour, the current one last.

    It is None for an hour that was not watched. `incidents` are those of the database.
    """
    known = list(incidents)
    first = now.replace(minute=0, second=0, microsecond=0) - HOUR * (len(watched) - 1)
    levels: list[Level | None] = []
    for at, is_watched in enumerate(watched):
        start = first + at * HOUR
        found = [
            incident.level
            for incident in known
            if incident.since < start + HOUR
            and (incident.ended_at is None or incident.ended_at > start)
            and (is_watched or incident.kind in UNREADABLE)
        ]
        levels.append(worst(found) if found or is_watched else None)
    return levels


def _bars(hours: Sequence[int | None], height: int) -> dict[str, str]:
    """Return the paths of the bars by their class. The current hour is pale."""
    scale = max(MIN_SCALE_ROWS, *(rows or 0 for rows in hours))
    paths = {"written": "", "current": "", "silent": ""}
    for at, rows in enumerate(hours):
        if rows is None:
            continue
        name = "silent" if rows <= 0 else "current" if at == len(hours) - 1 else "written"
        bar = max(MIN_BAR_HEIGHT, round((height - AIR) * rows / scale)) if rows > 0 else STUB_HEIGHT
        paths[name] += f"M{at * PITCH} {height}v-{bar}h{BAR_WIDTH}v{bar}"
    return paths


def _ribbon(levels: Sequence[Level | None], top: int) -> dict[str, str]:
    """Return the paths of the ribbon by their class. Equal hours run together as one line."""
    paths = dict.fromkeys(("ok", "warn", "bad"), "")
    for level, run in groupby(enumerate(levels), key=itemgetter(1)):
        if level:
            name, thickness = RIBBON[level]
            hours = [at for at, _ in run]
            width = PITCH * len(hours) - (PITCH - BAR_WIDTH) * (hours[-1] == len(levels) - 1)
            paths[name] += f"M{hours[0] * PITCH} {top}h{width}v{thickness}h-{width}"
    return paths
