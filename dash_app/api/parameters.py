"""The query parameters of each route: validated here, described in `openapi.json`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from flask import request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from dash_app.history.chart_grid import Window
from dash_app.history.event_queries import EventQuery
from dash_app.history.incidents import IncidentQuery
from dash_app.history.series import MEASURE, Extent, Metric
from dash_app.model.event import EventKind

DEFAULT_RANGE = timedelta(hours=24)
DEFAULT_POINTS = 500
MAX_POINTS = 5000
MAX_TOTAL_POINTS = 100_000
"""Maximum for all series together, which take 40 MB in memory at 390 bytes per point."""

MAX_BYTES, POINT_BYTES = 16_000_000, 80
"""Maximum size of a history response, and the size of a point without its names."""

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_CURSOR = 2**63 - 1
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Earlier and later times are clamped to these."""

EXAMPLE_TIME = "2026-11-23T15:00:00Z"
DIGITS = re.compile(rf"[0-9]{{1,{len(str(MAX_CURSOR))}}}")
"""A whole number. `int` also accepts signs, spaces, underscores and the digits of other scripts."""


class ParameterError(ValueError):
    """A query parameter cannot be used. The text names it and the allowed values."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Annotates a whole number within bounds, which is written in digits only."""

    minimum: int
    maximum: int

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Validate by `parse`, and describe the bounds."""
        number = core_schema.int_schema(ge=self.minimum, le=self.maximum)
        return core_schema.no_info_before_validator_function(self.parse, number)

    def parse(self, value: object) -> int:
        """Return a text as a number. Raise ValueError."""
        text = str(value)
        if not DIGITS.fullmatch(text) or not self.minimum <= int(text) <= self.maximum:
            raise ValueError(f"must be a whole number from {self.minimum} to {self.maximum}")
        return int(text)


def _time(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(value).upper())
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(f"must be a time with its zone, such as {EXAMPLE_TIME}")
    return min(max(time, EARLIEST), LATEST).astimezone(UTC)


def _cursor_or_time(value: object) -> int | datetime:
    try:
        return Whole(0, MAX_CURSOR).parse(value) if DIGITS.fullmatch(str(value)) else _time(value)
    except ValueError:
        text = f"must be the `next` of an earlier response, or a time such as {EXAMPLE_TIME}"
        raise ValueError(text) from None


def _metric(value: object) -> object:
    if value not in get_args(Metric) and not re.fullmatch(MEASURE, str(value)):
        raise ValueError(f"must be one of {', '.join(get_args(Metric))}, measure:NAME")
    return value


def _configured(name: str, info: ValidationInfo) -> str:
    names: Sequence[str] = info.context or ()
    if name not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return name


Time = Annotated[datetime, BeforeValidator(_time), Field(examples=[EXAMPLE_TIME])]
DatabaseName = Annotated[str, AfterValidator(_configured)]
AnyMetric = Metric | Annotated[str, Field(pattern=f"^{MEASURE}$")]
INT64: JsonDict = {"format": "int64"}


class Parameters(BaseModel):
    """The parameters of a route; here, none."""

    # Built at its first use, which saves 9 ms of the start.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class DatabaseParameters(Parameters):
    """Parameters that can limit the result to some databases."""

    database: tuple[DatabaseName, ...] = Field((), description="Only these databases; repeatable.")


class HistoryParameters(DatabaseParameters):
    """The parameters of `/api/history`: which series, of which time, and how many points."""

    table: tuple[str, ...] = Field(
        (), description="Only tables of these names; repeatable.", examples=[["tasks"]]
    )
    metric: Annotated[AnyMetric, BeforeValidator(_metric)] = Field(
        "rows",
        description="What to return. `inserted` is the rows written since the previous point, even"
        " if they were deleted since, except those written while the database was not watched."
        " `table_bytes` is the size of each table, and of each index under its own name, as of the"
        " page check. `measure:open_tasks` is the values of the measure `open_tasks`.",
    )
    until: Time = Field(
        default_factory=lambda: datetime.now(UTC), alias="to", description="The end; default: now."
    )
    since: Time = Field(
        default_factory=lambda data: data["until"] - DEFAULT_RANGE,
        alias="from",
        description="The start; default: 24 hours before `to`. It must be before `to`.",
    )
    points: Annotated[int, Whole(1, MAX_POINTS)] | None = Field(
        None,
        description=f"Maximum number of points per series. Default: {DEFAULT_POINTS}, or fewer if"
        f" there are many series, because all series together have at most {MAX_TOTAL_POINTS:,}"
        f" points in {MAX_BYTES // 1_000_000} MB.",
        examples=[100],
    )
    format: Literal["json", "csv"] = Field(
        "json",
        description="CSV has one line per point. An apostrophe precedes a name that starts like a"
        " formula, so that no spreadsheet evaluates it.",
    )

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.since >= self.until:
            raise ValueError("from must be before to")
        return self

    def window(self, extent: Extent, every_seconds: float) -> Window:
        """Return the window for series of an extent, which are recorded every `every_seconds`.

        Raise ParameterError if the response would be too large.
        """
        series = max(1, extent.series)
        # CSV repeats the names in each line.
        is_csv = self.format == "csv"
        once, per_point = (0, extent.name_bytes) if is_csv else (extent.name_bytes, 0)
        by_size = (MAX_BYTES - once) // (series * POINT_BYTES + per_point)
        limit = max(0, min(MAX_TOTAL_POINTS // series, by_size))
        points = self.points or max(1, min(DEFAULT_POINTS, limit))
        if points > limit:
            raise ParameterError(
                f"points must be at most {limit} for {extent.series} series, because a response has"
                f" at most {MAX_TOTAL_POINTS} points and {MAX_BYTES // 1_000_000} MB. Request fewer"
                " points or fewer tables."
            )
        return Window.up_to(self.since, self.until, points, every_seconds)


class PageParameters(DatabaseParameters):
    """Parameters of a result that comes in pages, newest first."""

    before: Annotated[int, Whole(1, MAX_CURSOR)] | None = Field(
        None,
        description="Only older ones than this `next` of an earlier response.",
        examples=[17],
        json_schema_extra=INT64,
    )
    limit: Annotated[int, Whole(1, MAX_LIMIT)] = Field(
        DEFAULT_LIMIT,
        description="Maximum number per response; fewer if events contain very large schemas.",
    )


class EventsParameters(PageParameters):
    """The parameters of `/api/events`."""

    kind: tuple[EventKind, ...] = Field((), description="Only events of these kinds; repeatable.")
    since: (
        Annotated[
            Annotated[int, Field(ge=0, le=MAX_CURSOR, json_schema_extra=INT64)] | Time,
            BeforeValidator(_cursor_or_time),
        ]
        | None
    ) = Field(
        None,
        description="Only newer events, oldest first, so that a poller misses none: first a time or"
        " 0, then the `next` of each previous response.",
        examples=[17],
    )

    def event_query(self) -> EventQuery:
        """Return the query for the history."""
        return EventQuery(self.database, self.kind, self.before, self.limit, self.since)


class IncidentsParameters(PageParameters):
    """The parameters of `/api/incidents`."""

    open: Literal["true", "false"] | None = Field(
        None, description="Only open incidents, or only ended ones."
    )

    def incident_query(self) -> IncidentQuery:
        """Return the query for the history."""
        is_open = None if self.open is None else self.open == "true"
        return IncidentQuery(self.database, is_open, before=self.before, limit=self.limit)


class GlanceParameters(Parameters):
    """The parameters of `/glance`."""

    refresh: Literal["on", "off"] = Field("on", description="Whether the page reloads itself.")


PARAMETERS: dict[str, type[Parameters]] = {
    "/api/db-status": Parameters,
    "/api/databases/<name>": Parameters,
    "/api/measures": DatabaseParameters,
    "/api/history": HistoryParameters,
    "/api/events": EventsParameters,
    "/api/incidents": IncidentsParameters,
    "/api/service": Parameters,
    "/api/openapi.json": Parameters,
    "/health": Parameters,
    "/glance": GlanceParameters,
    "/metrics": Parameters,
}
"""Every route in `openapi.json`."""


def parse(model: type[Parameters], databases: Sequence[str]) -> Parameters:
    """Return the parameters of the current request, given the names of the configured databases.

    Raise ParameterError if a parameter is unknown, repeated or has a value that is not allowed.
    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    lists = {name for name, field in fields.items() if get_origin(field.annotation) is tuple}
    values: dict[str, Any] = {}
    for name, texts in request.args.lists():
        if len(texts) > 1 and name in fields and name not in lists:
            raise ParameterError(f"{name} may be given only once.")
        values[name] = texts if name in lists else texts[0]
    try:
        return model.model_validate(values, context=databases)
    except ValidationError as error:
        raise ParameterError(_explain(error.errors()[0], list(fields))) from None


def _explain(error: ErrorDetails, names: list[str]) -> str:
    """Return a sentence that names the wrong parameter and the allowed values."""
    name = error["loc"][0] if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        allowed = f"Allowed: {', '.join(names)}." if names else "This route has none."
        return f"There is no parameter {name}. {allowed}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "literal_error":
        choices = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        message = f"must be one of {choices}"
    return f"{name} {message}.".strip()
