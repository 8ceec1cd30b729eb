"""Responses of the JSON routes: ETags, ages, errors and CORS."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Blueprint, Response, g, jsonify, request

from dash_app.api.parameters import PARAMETERS, parse
from dash_app.model.measure import AGE

if TYPE_CHECKING:
    from dash_app.api import schemas

READING_TIMES = {"readAt", "verifiedAt"}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization, If-None-Match",
    "Access-Control-Max-Age": "600",
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """The body of a response, with its ETag."""

    body: bytes
    etag: str
    mimetype: str = "application/json"


def encode(document: object, facts: object = None) -> Encoded:
    """Encode a document. Its ETag is of the `facts`: the document without the times of readings."""
    body = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    return Encoded(body, etag_of(json.dumps(facts).encode() if facts else body))


def etag_of(facts: bytes) -> str:
    """Return an ETag, which is the same for the same facts."""
    return hashlib.blake2b(facts, digest_size=16).hexdigest()


def respond(encoded: Encoded, taken_at: datetime | None = None) -> Response:
    """Respond with a body, or with 304 if the client has its facts; `taken_at` sets the age."""
    response = Response(encoded.body, mimetype=encoded.mimetype)
    if taken_at:
        age_seconds = int((datetime.now(UTC) - taken_at).total_seconds())
        response.headers["Age"] = str(max(0, age_seconds))
    response.headers["ETag"] = f'W/"{encoded.etag}"'
    response.headers["Cache-Control"] = "private, no-cache"
    if "If-None-Match" in request.headers:
        response.make_conditional(request)
    return response


def facts_of(database: schemas.Database) -> dict[str, object]:
    """Return a database without the times that change with each reading."""
    facts = {key: value for key, value in database.items() if key not in READING_TIMES}
    change = database["change"] and database["change"]["rows"]
    measures = [facts_of_measure(measure) for measure in database["measures"]]
    return facts | {"change": change, "measures": measures}


def facts_of_measure(measure: schemas.Measure) -> dict[str, object]:
    """Return a measure without what changes with each reading: a time, or an age by itself."""
    changing = {"value", "values"} if measure["unit"] == AGE else {"measuredAt"}
    return {key: value for key, value in measure.items() if key not in changing}


def error_response(status: int, code: str, message: str) -> Response:
    """Respond with an error; its code is one of `schemas.ErrorCode`."""
    response = jsonify({"error": {"code": code, "message": message}})
    response.status_code = status
    response.cache_control.no_store = True
    return response


def check_requests(api: Blueprint, databases: Sequence[str]) -> None:
    """Answer OPTIONS on every described route, and parse its parameters into `flask.g.parameters`.

    `databases` are the names of the configured databases.
    """

    @api.before_app_request
    def check() -> Response | None:
        rule = request.url_rule
        if rule is None or rule.rule not in PARAMETERS:
            return None
        if request.method == "OPTIONS":
            response = Response(status=204)
            response.allow.update(sorted(rule.methods or ()))
            del response.headers["Content-Type"]
            return response
        g.parameters = parse(PARAMETERS[rule.rule], databases)
        return None


def allow_origins(api: Blueprint, origins: tuple[str, ...]) -> None:
    """Let scripts of some origins read `/api` (CORS)."""

    @api.after_app_request
    def allow(response: Response) -> Response:
        if not origins or not request.path.startswith("/api/"):
            return response
        response.vary.add("Origin")
        origin = request.headers.get("Origin", "")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Age, ETag, Retry-After"
            if request.method == "OPTIONS":
                response.headers.update(PREFLIGHT)
        return response
