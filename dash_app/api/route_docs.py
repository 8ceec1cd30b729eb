"""What types cannot say of the routes: their words, parameters and headers, for `openapi.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dash_app.api import examples
from dash_app.api.parameters import MAX_TOTAL_POINTS

Json = dict[str, Any]

DESCRIPTION = f"""\
Whether the SQLite databases of this machine are well. Everything here only reads.

Times are UTC by RFC 3339; sizes are bytes; what is unknown is null and never 0.

Every route answers GET and HEAD, and OPTIONS with 204 and `Allow`. Parameters that a route does not
know are refused, and so are those given twice that may be given once. JSON carries a weak `ETag`
over its facts without the times of looking: sent back as `If-None-Match`, it is answered by 304
until a fact changes, and `Age` says how old the facts are. Answers are compressed with gzip for
whoever takes it, and never larger than {MAX_TOTAL_POINTS:,} points of history.

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
