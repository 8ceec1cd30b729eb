"""The JSON routes, as a Flask blueprint."""

import json
import logging
import sqlite3
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path

from flask import Blueprint, Response, g, request

from dash_app.api.csv_export import to_csv
from dash_app.api.parameters import (
    DatabaseParameters,
    EventsParameters,
    HistoryParameters,
    IncidentsParameters,
)
from dash_app.api.responses import (
    Encoded,
    allow_origins,
    check_requests,
    encode,
    error_response,
    etag_of,
    facts_of,
    facts_of_measure,
    respond,
)
from dash_app.api.serializers import (
    detail_document,
    events_document,
    history_document,
    incidents_document,
    instant,
    measures_document,
    service_document,
    status_document,
)
from dash_app.history import series
from dash_app.history.event_queries import EventQuery, events_page
from dash_app.history.incidents import find_incidents
from dash_app.history.openers import find_openers
from dash_app.history.series import Selection
from dash_app.model.database import Database
from dash_app.model.refusal import REFUSALS
from dash_app.model.snapshot import NewestSnapshot, Snapshot
from dash_app.settings import Settings
from dash_app.settings.schema import HistorySettings

log = logging.getLogger(__name__)

DESCRIPTION = Path(__file__).with_name("openapi.json")
"""Written by `python -m dash_app.api.openapi`; the configured names are filled in when served."""


def create_api(
    settings: Settings, newest: NewestSnapshot, fresh: NewestSnapshot, started_at: datetime
) -> Blueprint:
    """Return the routes under `/api`, and `/health`.

    `fresh` returns the newest snapshot too, but None if it is too old.
    """
    api = Blueprint("api", __name__)
    check_requests(api, settings.names)
    watched = tuple(database.name for database in settings.databases)
    allow_origins(api, settings.server.allowed_origins)
    _add_databases(api, settings.history.path, newest, watched)
    _add_service(api, newest, fresh, started_at)
    _add_description(api, settings)
    _add_history(api, settings.history, settings.databases)
    return api


@lru_cache(maxsize=1)
def _encoded_status(snapshot: Snapshot) -> Encoded:
    """Encode a snapshot once for all clients, since that is half the time of a response."""
    document = status_document(snapshot)
    facts = [document["headline"], document["patterns"], *map(facts_of, document["databases"])]
    return encode(document, facts)


def _add_databases(
    api: Blueprint, history: Path, newest: NewestSnapshot, watched: tuple[str, ...]
) -> None:
    @api.get("/api/db-status")
    def db_status() -> Response:
        snapshot = newest()
        if snapshot is None:
            return _no_reading_yet()
        return respond(_encoded_status(snapshot), snapshot.taken_at)

    @api.get("/api/databases/<name>")
    def database(name: str) -> Response:
        snapshot = newest()
        if snapshot is None:
            return _no_reading_yet()
        statuses = {status.database.name: status for status in snapshot.databases}
        if name not in statuses:
            return error_response(404, "not_found", "There is no database of that name.")
        events, _has_more = events_page(history, EventQuery((name,)))
        openers = find_openers(history, name)
        document = detail_document(statuses[name], events, openers)
        # The end of an opener is a time that changes with each record.
        spans = [(opener["pid"], opener["from"]) for opener in document["openers"]]
        facts = facts_of(document) | {"openers": spans}
        return respond(encode(document, facts), snapshot.taken_at)

    @api.get("/api/measures")
    def measures() -> Response:
        parameters: DatabaseParameters = g.parameters
        snapshot = newest()
        if snapshot is None:
            return _no_reading_yet()
        document = measures_document(snapshot, parameters.database or watched)
        facts = {"measures": [facts_of_measure(measure) for measure in document["measures"]]}
        return respond(encode(document, facts), snapshot.taken_at)


def _add_service(
    api: Blueprint, newest: NewestSnapshot, fresh: NewestSnapshot, started_at: datetime
) -> None:
    @api.get("/health")
    def health() -> Response:
        text, status = ("ok\n", 200) if fresh() else ("not reading\n", 503)
        return Response(text, status, mimetype="text/plain")

    @api.get("/api/service")
    def service() -> Response:
        refusals = request.environ.get(REFUSALS)
        refused = refusals.recent() if refusals else []
        is_fresh = fresh() is not None
        document = service_document(newest(), started_at, refused, is_fresh=is_fresh)
        return respond(encode(document))


def _add_description(api: Blueprint, settings: Settings) -> None:
    @cache
    def encoded_description() -> Encoded:
        description = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
        if names := settings.names:
            description["components"]["schemas"]["DatabaseName"]["enum"] = names
        if settings.server.token_file:
            description["security"] = [{"token": []}]
        return encode(description)

    @api.get("/api/openapi.json")
    def openapi() -> Response:
        return respond(encoded_description())


def _no_reading_yet() -> Response:
    response = error_response(503, "no_reading_yet", "The databases are being read.")
    response.headers["Retry-After"] = "1"
    return response


def _add_history(api: Blueprint, settings: HistorySettings, watched: tuple[Database, ...]) -> None:
    @api.get("/api/history")
    def history() -> Response:
        parameters: HistoryParameters = g.parameters
        path = settings.path
        databases = parameters.database or tuple(database.name for database in watched)
        selection = Selection(databases, parameters.table, parameters.metric)
        window = parameters.window(series.extent(path, selection), settings.every.total_seconds())
        document = history_document(series.find_series(path, selection, window), watched)
        is_csv = parameters.format == "csv"
        body = to_csv(document["series"]).encode() if is_csv else encode(document).body
        facts = body
        if "until" not in parameters.model_fields_set:  # it is the time of the request
            facts = body.replace(instant(int(parameters.until.timestamp())).encode(), b"")
        return respond(Encoded(body, etag_of(facts), "text/csv" if is_csv else "application/json"))

    @api.get("/api/events")
    def events() -> Response:
        parameters: EventsParameters = g.parameters
        query = parameters.event_query()
        found, has_more = events_page(settings.path, query)
        return respond(encode(events_document(found, query, has_more=has_more)))

    @api.get("/api/incidents")
    def incidents() -> Response:
        parameters: IncidentsParameters = g.parameters
        query = parameters.incident_query()
        return respond(encode(incidents_document(find_incidents(settings.path, query), query)))

    @api.errorhandler(sqlite3.Error)
    def history_unavailable(error: sqlite3.Error) -> Response:
        log.error("history cannot be read: %s", error)
        response = error_response(503, "history_unavailable", "The history cannot be read now.")
        response.headers["Retry-After"] = "60"
        return response
