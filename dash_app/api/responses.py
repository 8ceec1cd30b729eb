"""How the JSON routes answer: what a client may keep, and who else may read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Blueprint, Response, g, jsonify, request

from dash_app.api.parameters import QUERIES, parse

if TYPE_CHECKING:
    from dash_app.api import schemas

TIMES_OF_LOOKING = {"readAt", "verifiedAt"}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization, If-None-Match",
    "Access-Control-Max-Age": "600",
}


@dataclass(frozen=True, slots=True)
class Written:
    """A document as it is sent, and the mark of its facts."""

    body: bytes
    mark: str


def written(document: object, facts: object = None) -> Written:
    """Return a document as JSON; `facts` are it without what changes by looking."""
    body = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    return Written(body, _mark(json.dumps(facts).encode() if facts else body))


def answer(document: object, facts: object = None, taken_at: datetime | None = None) -> Response:
    """Return a document as JSON, or 304 to whoever has its facts; its age where it has one."""
    return sent(written(document, facts), taken_at)


def sent(document: Written, taken_at: datetime | None = None) -> Response:
    """Return what is written already, or 304 to whoever has its facts."""
    response = Response(document.body, mimetype="application/json")
    if taken_at:
        age_seconds = int((datetime.now(UTC) - taken_at).total_seconds())
        response.headers["Age"] = str(max(0, age_seconds))
    return _marked(response, document.mark)


def tagged(response: Response, facts: bytes) -> Response:
    """Return a response marked by its facts, or 304 to whoever has them already."""
    return _marked(response, _mark(facts))


def _mark(facts: bytes) -> str:
    return hashlib.blake2b(facts, digest_size=16).hexdigest()


def _marked(response: Response, mark: str) -> Response:
    response.headers["ETag"] = f'W/"{mark}"'
    response.headers["Cache-Control"] = "private, no-cache"
    if "If-None-Match" in request.headers:
        response.make_conditional(request)
    return response


def lasting(database: schemas.Database) -> dict[str, object]:
    """Return a database's facts, without the times of looking and of a day before."""
    kept = {key: value for key, value in database.items() if key not in TIMES_OF_LOOKING}
    return kept | {"change": database["change"] and database["change"]["rows"]}


def error_response(status: int, code: str, message: str) -> Response:
    """Return an error of the contract."""
    response = jsonify({"error": {"code": code, "message": message}})
    response.status_code = status
    response.cache_control.no_store = True
    return response


def check_requests(api: Blueprint, databases: Sequence[str]) -> None:
    """Answer OPTIONS on every described route, and parse its query into `flask.g.query`.

    `databases` are the names of the configured databases.
    """

    @api.before_app_request
    def check() -> Response | None:
        rule = request.url_rule
        if rule is None or rule.rule not in QUERIES:
            return None
        if request.method == "OPTIONS":
            response = Response(status=204)
            response.allow.update(sorted(rule.methods or ()))
            del response.headers["Content-Type"]
            return response
        g.query = parse(QUERIES[rule.rule], databases)
        return None


def allow_origins(api: Blueprint, origins: tuple[str, ...]) -> None:
    """Let scripts of some origins read what is under `/api`."""

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
