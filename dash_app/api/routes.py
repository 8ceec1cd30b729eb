"""The JSON routes, as a Flask blueprint."""

from __future__ import annotations

import json
import logging
import sqlite3
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path

from flask import Blueprint, Response, g, jsonify, request

from dash_app.api.csv_export import csv_of
from dash_app.api.parameters import EventsQuery, HistoryQuery, IncidentsQuery
from dash_app.api.responses import (
    Written,
    allow_origins,
    answer,
    check_requests,
    error_response,
    lasting,
    sent,
    tagged,
    written,
)
from dash_app.api.serializers import (
    detail_document,
    events_document,
    history_document,
    incidents_document,
    service_document,
    status_document,
)
from dash_app.api.times import instant
from dash_app.history import series
from dash_app.history.event_queries import EventQuery, events_page
from dash_app.history.incidents import find_incidents
from dash_app.model.refusal import REFUSALS
from dash_app.model.snapshot import NewestSnapshot, Snapshot
from dash_app.settings import Settings
from dash_app.settings.schema import HistorySettings

log = logging.getLogger(__name__)

DESCRIPTION = Path(__file__).with_name("openapi.json")
"""Made by `python -m dash_app.api.openapi`; only what a configuration decides is put in here."""


def create_api(
    settings: Settings, newest: NewestSnapshot, fresh: NewestSnapshot, started_at: datetime
) -> Blueprint:
    """Return the routes under `/api`, and `/health`.

    `fresh` returns the newest snapshot too, but None if it is too old.
    """
    api = Blueprint("api", __name__)
    check_requests(api, [database.name for database in settings.databases])
    allow_origins(api, settings.server.allowed_origins)
    _serve_status(api, settings, newest)
    _serve_ourselves(api, settings, newest, fresh, started_at)
    _serve_record(api, settings)
    return api


@lru_cache(maxsize=1)
def _written_status(snapshot: Snapshot) -> Written:
    """Return the status document as bytes; making it takes half of the time of a response."""
    document = status_document(snapshot)
    return written(document, [document["headline"], *map(lasting, document["databases"])])


def _serve_status(api: Blueprint, settings: Settings, newest: NewestSnapshot) -> None:
    @api.get("/api/db-status")
    def db_status() -> Response:
        snapshot = newest()
        if snapshot is None:
            return _not_yet()
        return sent(_written_status(snapshot), snapshot.taken_at)

    @api.get("/api/databases/<name>")
    def database(name: str) -> Response:
        snapshot = newest()
        if snapshot is None:
            return _not_yet()
        found = next((one for one in snapshot.databases if one.database.name == name), None)
        if found is None:
            return error_response(404, "not_found", "There is no database of that name.")
        try:
            events, _more = events_page(settings.history.path, EventQuery((name,)))
        except sqlite3.Error as error:
            return _no_history("events", error)
        document = detail_document(found, events)
        return answer(document, lasting(document), snapshot.taken_at)


def _serve_ourselves(
    api: Blueprint,
    settings: Settings,
    newest: NewestSnapshot,
    fresh: NewestSnapshot,
    started_at: datetime,
) -> None:
    @api.get("/health")
    def health() -> Response:
        well = fresh() is not None
        return Response(
            "ok\n" if well else "not reading\n", 200 if well else 503, mimetype="text/plain"
        )

    @api.get("/api/service")
    def service() -> Response:
        refusals = request.environ.get(REFUSALS)
        refused = refusals.recent() if refusals else []
        return answer(service_document(newest(), started_at, refused, is_fresh=fresh() is not None))

    @cache
    def written_description() -> Written:
        description = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
        names = [database.name for database in settings.databases]
        description["components"]["schemas"]["DatabaseName"]["enum"] = names
        if settings.server.token_file:
            description["security"] = [{"token": []}]
        return written(description)

    @api.get("/api/openapi.json")
    def openapi() -> Response:
        return sent(written_description())


def _not_yet() -> Response:
    response = error_response(503, "no_reading_yet", "The databases are being read.")
    response.headers["Retry-After"] = "1"
    return response


def _no_history(what: str, error: sqlite3.Error) -> Response:
    log.error("%s cannot be read: %s", what, error)
    response = error_response(503, "history_unavailable", "The history cannot be read now.")
    response.headers["Retry-After"] = "60"
    return response


def _serve_record(api: Blueprint, settings: Settings) -> None:
    @api.get("/api/history")
    def history() -> Response:
        try:
            return _history(settings.history, g.query)
        except sqlite3.Error as error:
            return _no_history("history", error)

    @api.get("/api/events")
    def events() -> Response:
        query: EventsQuery = g.query
        wanted = query.wanted()
        try:
            found, more = events_page(settings.history.path, wanted)
        except sqlite3.Error as error:
            return _no_history("events", error)
        return answer(events_document(found, wanted, more=more))

    @api.get("/api/incidents")
    def incidents() -> Response:
        query: IncidentsQuery = g.query
        wanted = query.wanted()
        try:
            return answer(incidents_document(find_incidents(settings.history.path, wanted), wanted))
        except sqlite3.Error as error:
            return _no_history("incidents", error)


def _history(history: HistorySettings, query: HistoryQuery) -> Response:
    path, selection = history.path, query.selection
    window = query.window(series.extent(path, selection), history.every.total_seconds())
    document = history_document(series.find_series(path, selection, window))
    if query.format == "csv":
        response = Response(csv_of(document["series"]), mimetype="text/csv")
    else:
        response = jsonify(document)
    # Where a series ends now, only its last time says when we looked.
    now = instant(int(query.until.timestamp())).encode() if query.ends_now else None
    return tagged(response, response.get_data().replace(now, b"") if now else response.get_data())
