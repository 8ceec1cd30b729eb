"""What types cannot say of the routes: their words, parameters and headers, for `openapi.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from dash_app.api import examples
from dash_app.api.parameters import (
    DEFAULT_EVENTS,
    DEFAULT_POINTS,
    MAX_BYTES,
    MAX_CURSOR,
    MAX_EVENTS,
    MAX_POINTS,
    MAX_POINTS_IN_ALL,
    Format,
)
from dash_app.history.series import Metric
from dash_app.model.event import EventKind

Json = dict[str, Any]

DESCRIPTION = f"""\
Whether the SQLite databases of this machine are well. Everything here only reads.

Times are UTC by RFC 3339; sizes are bytes; what is unknown is null and never 0.

Every route answers GET and HEAD, and OPTIONS with 204 and `Allow`. Parameters that a route does not
know are refused, and so are those given twice that may be given once. JSON carries a weak `ETag`
over its facts without the times of looking: sent back as `If-None-Match`, it is answered by 304
until a fact changes, and `Age` says how old the facts are. Answers are compressed with gzip for
whoever takes it, and never larger than {MAX_POINTS_IN_ALL:,} points of history.

Within a major version nothing that is described here is taken away or changes its meaning, type or
unit. Later versions may add routes, parameters, fields, headers and values of the texts that are
open: accept what you do not know. Sentences for people may change at any time."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route in words: what it answers with by media type, and which errors it has of its own."""

    name: str
    summary: str
    answers: dict[str, tuple[Json, Any]]
    has_age: bool = False
    refusals: tuple[int, ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether it speaks JSON, and so has a mark by which to ask again."""
        return JSON in self.answers


JSON, CSV, TEXT, HTML = "application/json", "text/csv", "text/plain", "text/html"
OPENMETRICS = "application/openmetrics-text"
ANY_TEXT: Json = {"type": "string"}


def ref(kind: str, name: str) -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def _json(document: str, example: object) -> dict[str, tuple[Json, Any]]:
    return {JSON: (ref("schemas", document), example)}


ROUTES: dict[str, Route] = {
    "/api/db-status": Route(
        "getStatus",
        "Every database: status, error and findings with cause and remedy, rows, sizes",
        _json("StatusDocument", examples.STATUS),
        has_age=True,
    ),
    "/api/databases/<name>": Route(
        "getDatabase",
        "All that is known of one database",
        _json("DatabaseDocument", examples.DATABASE),
        has_age=True,
        refusals=(404,),
    ),
    "/api/history": Route(
        "getHistory",
        "Row counts and sizes over time",
        _json("HistoryDocument", examples.HISTORY) | {CSV: (ANY_TEXT, examples.HISTORY_CSV)},
    ),
    "/api/events": Route(
        "getEvents",
        "What happened: page back by `before`, or follow by `since`",
        _json("EventsDocument", examples.EVENTS),
    ),
    "/api/incidents": Route(
        "getIncidents",
        "What one cause did: since when, to whom, who knows and what was sent; newest first",
        _json("IncidentsDocument", examples.INCIDENTS),
    ),
    "/api/service": Route(
        "getService",
        "The self-check: whether this service keeps its promises",
        _json("ServiceDocument", examples.SERVICE),
    ),
    "/api/openapi.json": Route(
        "getDescription", "This description", {JSON: ({"type": "object"}, {"openapi": "3.1.0"})}
    ),
    "/health": Route(
        "getHealth",
        "200 while readings are younger than three intervals, else 503",
        {TEXT: (ANY_TEXT, "ok\n")},
    ),
    "/glance": Route(
        "getGlance",
        "The verdicts, worst first; as a page for a browser, which asks for `text/html`",
        {TEXT: (ANY_TEXT, examples.GLANCE), HTML: (ANY_TEXT, "<!DOCTYPE html>")},
    ),
    "/metrics": Route(
        "getMetrics",
        "Every number for Prometheus; as OpenMetrics for whoever asks for that",
        {TEXT: (ANY_TEXT, examples.METRICS), OPENMETRICS: (ANY_TEXT, f"{examples.METRICS}# EOF\n")},
    ),
}

NAMES = ref("schemas", "DatabaseName")
TIME: Json = {"type": "string", "format": "date-time", "examples": ["2026-11-23T15:00:00Z"]}
CURSOR: Json = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_CURSOR}

PARAMETERS: dict[str, tuple[str, Json]] = {
    "name": ("A configured database.", NAMES),
    "database": ("Only these databases; may repeat.", {"type": "array", "items": NAMES}),
    "table": (
        "Only tables of these names; may repeat.",
        {"type": "array", "items": ANY_TEXT, "examples": [["tasks"]]},
    ),
    "kind": (
        "Only events of these kinds; may repeat.",
        {"type": "array", "items": {"type": "string", "enum": list(get_args(EventKind))}},
    ),
    "metric": (
        "What to tell. `inserted` is rows written since the point before, whatever was deleted.",
        {"type": "string", "enum": list(get_args(Metric)), "default": "rows"},
    ),
    "from": ("The begin; 24 hours before `to` by default. It must lie before `to`.", TIME),
    "to": ("The end; now by default.", TIME),
    "points": (
        (
            f"At most so many points a series; {DEFAULT_POINTS} by default, fewer with many series,"
            f" of which all together have at most {MAX_POINTS_IN_ALL:,} in"
            f" {MAX_BYTES // 1_000_000} MB."
        ),
        {"type": "integer", "minimum": 1, "maximum": MAX_POINTS, "examples": [100]},
    ),
    "format": (
        (
            "CSV has a line per point. A name that begins like a formula has an apostrophe before"
            " it, so that no spreadsheet calculates it."
        ),
        {"type": "string", "enum": list(get_args(Format)), "default": "json"},
    ),
    "since": (
        (
            "Only what is newer, oldest first, so that a poller misses nothing: a time at first,"
            " then always the `next` of the answer before, which may be 0 to begin with."
        ),
        {"anyOf": [CURSOR, TIME], "examples": [17]},
    ),
    "before": (
        "Only what is older than this `next` of an answer.",
        CURSOR | {"minimum": 1, "examples": [17]},
    ),
    "open": (
        "Only incidents that are not over, or only such as are.",
        {"type": "string", "enum": ["true", "false"]},
    ),
    "limit": (
        "At most so many; fewer where events tell of very large schemas.",
        {"type": "integer", "minimum": 1, "maximum": MAX_EVENTS, "default": DEFAULT_EVENTS},
    ),
}
"""Words and schema of each parameter."""

HEADERS: dict[str, tuple[str, Json]] = {
    "ETag": ("Marks the facts of this answer.", {"type": "string", "pattern": '^W/"[0-9a-f]+"$'}),
    "Age": ("How many seconds old the facts are.", {"type": "integer", "minimum": 0}),
    "Cache-Control": ("What may be kept.", ANY_TEXT),
    "Vary": ("Which headers of the request the answer depends on.", ANY_TEXT),
    "Retry-After": ("After how many seconds to ask again.", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("How to say who asks.", {"type": "string", "const": "Bearer"}),
    "Allow": ("The methods that there are.", {"type": "string", "const": "GET, HEAD, OPTIONS"}),
}

REFUSALS: dict[int, tuple[str, str, str, tuple[str, ...]]] = {
    400: (
        "bad_parameter",
        "A parameter that cannot be used, named with what is allowed; or a `Host` not ours.",
        "points must be a whole number from 1 to 5000.",
        (),
    ),
    401: (
        "token_not_allowed",
        "A token is configured, and was not sent.",
        "Send the header Authorization: Bearer and the token.",
        ("WWW-Authenticate",),
    ),
    403: (
        "client_not_allowed",
        "The client's network, or the person, is not allowed.",
        "Not from this network.",
        (),
    ),
    404: (
        "not_found",
        "There is no database of that name.",
        "There is no database of that name.",
        (),
    ),
    405: ("method_not_allowed", "Not a method of this route.", "Method Not Allowed.", ("Allow",)),
    500: ("internal_server_error", "A fault of ours.", "Internal Server Error.", ()),
    503: (
        "no_reading_yet",
        (
            "Nothing was read yet (`no_reading_yet`), the history cannot be read now"
            " (`history_unavailable`), too many large answers are requested at once (`busy`), or"
            " the answer would be larger than 24 MB (`too_large`)."
        ),
        "The databases are being read.",
        ("Retry-After",),
    ),
}
"""Each error: its code, when it comes, what it says, which headers it carries."""
EVERYWHERE = (400, 403, 405, 500, 503)

TOO_LARGE: dict[int, str] = {
    413: "A body of more than 64 kB; no route takes any.",
    431: "An address and headers of more than 16 kB.",
}
"""What is refused in plain text before anything looks at it."""
