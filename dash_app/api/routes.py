"""The JSON routes, as a Flask blueprint."""

from __future__ import annotations

import csv
import io
import logging
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from flask import Blueprint, Response, jsonify, request

from dash_app.api.views import (
    detail_document,
    events_document,
    history_document,
    service_document,
    status_document,
)
from dash_app.history import query
from dash_app.history.happened import Wanted, events_of
from dash_app.history.query import Metric, Selection
from dash_app.history.window import Window
from dash_app.model import EventKind

if TYPE_CHECKING:
    from dash_app.sampler import Sampler
    from dash_app.settings import Settings

log = logging.getLogger(__name__)

Choice = TypeVar("Choice", bound=str)

DEFAULT_REACH = timedelta(hours=24)
DEFAULT_POINTS = 500
MAX_POINTS = 5000
DEFAULT_EVENTS = 50
MAX_EVENTS = 500
EVENT_PARAMETERS = ("database", "kind", "before", "limit")
PARAMETERS = ("database", "table", "metric", "from", "to", "points", "format")


class ParameterError(ValueError):
    """A query parameter that cannot be used; the text names it and what is allowed."""


def create_api(settings: Settings, sampler: Sampler, started_at: datetime) -> Blueprint:
    """Return the routes under `/api`, and `/health`."""
    api = Blueprint("api", __name__)

    @api.get("/api/db-status")
    def db_status() -> Response:
        snapshot = sampler.snapshot
        if snapshot is None:
            return _not_yet()
        response = jsonify(status_document(snapshot))
        age = datetime.now(UTC) - snapshot.taken_at
        response.headers["Age"] = str(max(0, int(age.total_seconds())))
        return response

    @api.get("/health")
    def health() -> Response:
        well = sampler.fresh() is not None
        return Response(
            "ok\n" if well else "not reading\n", 200 if well else 503, mimetype="text/plain"
        )

    _serve_detail(api, settings, sampler)
    _serve_selfcheck(api, sampler, started_at)
    _serve_record(api, settings)
    return api


def _serve_detail(api: Blueprint, settings: Settings, sampler: Sampler) -> None:
    @api.get("/api/databases/<name>")
    def database(name: str) -> Response:
        if sampler.snapshot is None:
            return _not_yet()
        statuses = sampler.snapshot.databases
        status = next((one for one in statuses if one.database.name == name), None)
        if status is None:
            return error_response(404, "not_found", "There is no database of that name.")
        try:
            found = events_of(settings.history.path, Wanted((name,)))
        except sqlite3.Error as error:
            return _no_history("events", error)
        return jsonify(detail_document(status, found))


def _serve_selfcheck(api: Blueprint, sampler: Sampler, started_at: datetime) -> None:
    @api.get("/api/service")
    def service() -> Response:
        return jsonify(service_document(sampler, started_at))


def _not_yet() -> Response:
    response = error_response(503, "no_reading_yet", "The databases are being read.")
    response.headers["Retry-After"] = "1"
    return response


def _no_history(what: str, error: sqlite3.Error) -> Response:
    log.error("%s cannot be read: %s", what, error)
    return error_response(503, "history_unavailable", "The history cannot be read now.")


def _serve_record(api: Blueprint, settings: Settings) -> None:
    @api.get("/api/history")
    def history() -> Response:
        try:
            selection, window, as_csv = _parameters(settings)
        except ParameterError as error:
            return error_response(400, "bad_parameter", str(error))
        try:
            found = query.series(settings.history.path, selection, window)
        except sqlite3.Error as error:
            return _no_history("history", error)
        document = history_document(found)
        if as_csv:
            return Response(_as_csv(document["series"]), mimetype="text/csv")
        return jsonify(document)

    @api.get("/api/events")
    def events() -> Response:
        try:
            wanted = _wanted_events(settings)
        except ParameterError as error:
            return error_response(400, "bad_parameter", str(error))
        try:
            found = events_of(settings.history.path, wanted)
        except sqlite3.Error as error:
            return _no_history("events", error)
        return jsonify(events_document(found, wanted.most))


def error_response(status: int, code: str, message: str) -> Response:
    """Return an error of the contract."""
    response = jsonify({"error": {"code": code, "message": message}})
    response.status_code = status
    return response


def _parameters(settings: Settings) -> tuple[Selection, Window, bool]:
    _refuse_others(PARAMETERS)
    databases = _databases(settings)
    metric = _one_of("metric", request.args.get("metric", "rows"), get_args(Metric))
    as_csv = _one_of("format", request.args.get("format", "json"), ("json", "csv")) == "csv"
    until = _time("to", datetime.now(UTC))
    since = _time("from", until - DEFAULT_REACH)
    if since >= until:
        raise ParameterError("from must lie before to.")
    every_seconds = settings.history.every.total_seconds()
    points = _whole("points", DEFAULT_POINTS, MAX_POINTS) or DEFAULT_POINTS
    # The end takes one of the points, and a grid that begins at an instant one more.
    window = Window.between(since, until, max(1, points - 2), every_seconds).to_its_end(until)
    tables = tuple(request.args.getlist("table"))
    return Selection(databases, tables, metric), window, as_csv


def _wanted_events(settings: Settings) -> Wanted:
    _refuse_others(EVENT_PARAMETERS)
    kinds = tuple(_one_of("kind", k, get_args(EventKind)) for k in request.args.getlist("kind"))
    before = _whole("before", None, 2**63 - 1)
    most = _whole("limit", DEFAULT_EVENTS, MAX_EVENTS) or DEFAULT_EVENTS
    return Wanted(_databases(settings), kinds, before, most)


def _refuse_others(allowed: tuple[str, ...]) -> None:
    for name in request.args:
        if name not in allowed:
            raise ParameterError(f"There is no parameter {name}. Allowed: {', '.join(allowed)}.")


def _databases(settings: Settings) -> tuple[str, ...]:
    names = tuple(database.name for database in settings.databases)
    return tuple(_one_of("database", name, names) for name in request.args.getlist("database"))


def _one_of(name: str, value: str, allowed: tuple[Choice, ...]) -> Choice:
    for choice in allowed:
        if choice == value:
            return choice
    raise ParameterError(f"{name} must be one of {', '.join(allowed)}.")


def _whole(name: str, default: int | None, most: int) -> int | None:
    text = request.args.get(name)
    if text is None:
        return default
    # int() refuses what has thousands of digits by an error of its own.
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not 1 <= int(text) <= most:
        raise ParameterError(f"{name} must be a whole number from 1 to {most}.")
    return int(text)


def _time(name: str, default: datetime) -> datetime:
    text = request.args.get(name)
    if text is None:
        return default
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ParameterError(f"{name} must be a time with its zone, such as 2026-11-23T15:00:00Z.")
    return time


def _as_csv(series: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("time", "database", "table", "metric", "unit", "value"))
    for one in series:
        labels = (one["database"], one["table"], one["metric"], one["unit"])
        writer.writerows((time, *labels, value) for time, value in one["points"])
    return text.getvalue()
