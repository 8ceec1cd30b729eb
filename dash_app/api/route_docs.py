"""Descriptions of the routes, headers and errors for `openapi.json`."""

from dataclasses import dataclass
from typing import Any

from dash_app.api import examples
from dash_app.api.parameters import MAX_TOTAL_POINTS

Json = dict[str, Any]

DESCRIPTION = f"""\
The state of the SQLite databases on this machine. All routes only read.

Times are UTC by RFC 3339. Sizes are bytes. Unknown values are null, never 0.

Every route accepts GET and HEAD, and answers OPTIONS with 204 and `Allow`. Unknown parameters are
rejected, and so are repeated ones unless they are described as repeatable. JSON responses have a
weak `ETag` of their facts, without the times of readings. Send it as `If-None-Match` to get 304
until a fact changes. `Age` is the age of the facts in seconds. Responses are compressed with gzip
if the client accepts it, and have at most {MAX_TOTAL_POINTS:,} points of history.

Within a major version, everything that is described here stays, with its meaning, type and unit.
Later versions may add routes, parameters, fields, headers, and values of strings with an open list
of values, so clients should accept unknown ones. Sentences for people may change at any time."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route. `content` maps media types to schema and example, `errors` are its own statuses."""

    name: str
    summary: str
    content: dict[str, tuple[Json, Any]]
    has_age: bool = False
    errors: tuple[int, ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether it returns JSON, and so an ETag."""
        return JSON in self.content


JSON, CSV, TEXT, HTML = "application/json", "text/csv", "text/plain", "text/html"
OPENMETRICS = "application/openmetrics-text"
ANY_TEXT: Json = {"type": "string"}


def ref(kind: str, name: str) -> Json:
    """Return a reference to a component of a kind, such as "schemas"."""
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
        "All details of one database",
        _json("DatabaseDocument", examples.DATABASE),
        has_age=True,
        errors=(404,),
    ),
    "/api/measures": Route(
        "getMeasures",
        "The measures of all databases: values, limits, level",
        _json("MeasuresDocument", examples.MEASURES),
        has_age=True,
    ),
    "/api/history": Route(
        "getHistory",
        "Row counts, sizes and values of measures over time",
        _json("HistoryDocument", examples.HISTORY) | {CSV: (ANY_TEXT, examples.HISTORY_CSV)},
    ),
    "/api/events": Route(
        "getEvents",
        "Events; page back with `before`, or poll with `since`",
        _json("EventsDocument", examples.EVENTS),
    ),
    "/api/incidents": Route(
        "getIncidents",
        "Incidents with start, affected databases, acknowledgement and notifications, newest first",
        _json("IncidentsDocument", examples.INCIDENTS),
    ),
    "/api/service": Route(
        "getService",
        "The self-check: whether the service keeps its promises",
        _json("ServiceDocument", examples.SERVICE),
    ),
    "/api/openapi.json": Route(
        "getDescription", "This description", {JSON: ({"type": "object"}, {"openapi": "3.1.0"})}
    ),
    "/health": Route(
        "getHealth",
        "200 while the readings are younger than three intervals, otherwise 503",
        {TEXT: (ANY_TEXT, "ok\n")},
    ),
    "/glance": Route(
        "getGlance",
        "One line per database, worst first; a page if the client accepts `text/html`",
        {TEXT: (ANY_TEXT, examples.GLANCE), HTML: (ANY_TEXT, "<!DOCTYPE html>")},
    ),
    "/metrics": Route(
        "getMetrics",
        "All numbers for Prometheus, as text or OpenMetrics",
        {TEXT: (ANY_TEXT, examples.METRICS), OPENMETRICS: (ANY_TEXT, f"{examples.METRICS}# EOF\n")},
    ),
}

HEADERS: dict[str, tuple[str, Json]] = {
    "ETag": (
        "Identifies the facts in this response.",
        {"type": "string", "pattern": '^W/"[0-9a-f]+"$'},
    ),
    "Age": ("Age of the facts in seconds.", {"type": "integer", "minimum": 0}),
    "Cache-Control": ("What a client may cache.", ANY_TEXT),
    "Vary": ("The request headers on which the response depends.", ANY_TEXT),
    "Retry-After": ("Seconds to wait before the next request.", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("How to authenticate.", {"type": "string", "const": "Bearer"}),
    "Allow": ("The allowed methods.", {"type": "string", "const": "GET, HEAD, OPTIONS"}),
}

ERRORS: dict[int, tuple[str, str, str, tuple[str, ...]]] = {
    400: (
        "bad_parameter",
        "A bad parameter, named in the message with what is allowed, or an unknown `Host`.",
        "points must be a whole number from 1 to 5000.",
        (),
    ),
    401: (
        "token_not_allowed",
        "A token is configured and was not sent.",
        "Send the header Authorization: Bearer and the token.",
        ("WWW-Authenticate",),
    ),
    403: (
        "client_not_allowed",
        "The client's network or the user is not allowed.",
        "Not from this network.",
        (),
    ),
    404: (
        "not_found",
        "There is no database of that name.",
        "There is no database of that name.",
        (),
    ),
    405: (
        "method_not_allowed",
        "The route does not have this method.",
        "Method Not Allowed.",
        ("Allow",),
    ),
    500: ("internal_server_error", "An internal error.", "Internal Server Error.", ()),
    503: (
        "no_reading_yet",
        (
            "There is no reading yet (`no_reading_yet`), the history cannot be read now"
            " (`history_unavailable`), too many large responses are requested at once (`busy`), or"
            " the response would be larger than 24 MB (`too_large`)."
        ),
        "The databases are being read.",
        ("Retry-After",),
    ),
}
"""Each error status: its code, its cause, an example of its message, and its headers."""
COMMON_ERRORS = (400, 403, 405, 500, 503)

TOO_LARGE: dict[int, str] = {
    413: "The body is larger than 64 kB; no route needs one.",
    431: "Address and headers are larger than 16 kB.",
}
"""Errors in plain text, sent before the request reaches a route."""
