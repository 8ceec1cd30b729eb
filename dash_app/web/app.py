"""The WSGI application: Dash's page, the JSON routes, and the rules that hold for every answer."""

from __future__ import annotations

import gzip
import logging
import os
from datetime import UTC, datetime
from http.client import NOT_MODIFIED, OK
from typing import Any

from dash import Dash
from dash.exceptions import DependencyException
from flask import Flask, Response, abort, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from dash_app.api.parameters import ParameterError
from dash_app.api.responses import error_response
from dash_app.api.routes import create_api
from dash_app.metrics import create_metrics
from dash_app.model.snapshot import NewestSnapshot, Snapshot
from dash_app.page import assets
from dash_app.page.callbacks import register
from dash_app.page.glance import glance_page, glance_text, plain_page
from dash_app.page.layout import INDEX
from dash_app.page.page import Page
from dash_app.sampler import Sampler
from dash_app.settings import Settings
from dash_app.system.logging_setup import described
from dash_app.web.connections import WAITED_SECONDS
from dash_app.web.lanes import CALLBACKS
from dash_app.web.posted import Callbacks
from dash_app.web.static_files import (
    BOOTSTRAP_URL,
    VENDORED,
    YEAR_SECONDS,
    compressed_copy,
    serve_small_plotly,
)

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 24_000_000
"""Maximum size of an answer: less than `listeners.MAX_UNREAD_BYTES`."""

MAX_WAIT_SECONDS, RETRY_SECONDS = 20, 10
"""Maximum time for which a request waits for a thread, and the pause before a retry."""

CATCH_ALL = "/<path:path>"
"""Dash's own route, which would answer any unknown path with the page."""

UNWANTED = {"/_reload-hash", "/_favicon.ico", "/static/<path:filename>"}
"""Routes for developers that Dash and Flask answer whatever they are told."""

COMPRESSED = {
    "text/html",
    "text/css",
    "text/javascript",
    "text/plain",
    "text/csv",
    "application/javascript",
    "application/json",
    "application/openmetrics-text",
    "image/svg+xml",
}
MIN_COMPRESSED_BYTES = 1000
"""Less fits into one packet anyway."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)
"""Inline styles are Dash's: its components bring style elements of their own."""


HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class App(Dash):
    """Dash, with the facts of now in its first response."""

    def __init__(self, page: Page, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Take the page, and what Dash takes."""
        self._page = page
        super().__init__(*args, **options)

    def interpolate_index(self, *args: Any, **parts: Any) -> str:  # noqa: ANN401
        """Return the index; Dash calls this for each first request."""
        index: str = super().interpolate_index(*args, **parts)  # type: ignore[no-untyped-call]
        return self._page.first_response(index)


def create_server(settings: Settings, sampler: Sampler, started_at: datetime) -> Flask:
    """Return the application over a sampler's snapshots and the history."""
    _ignore_environment()
    page = Page(settings, sampler, started_at)
    app = App(
        page,
        __name__,
        title="Mission Control",
        update_title="",
        assets_folder=str(assets.ASSETS),
        assets_ignore="recover.js|start.js|theme.js",
        assets_path_ignore=[VENDORED],
        external_stylesheets=[assets.versioned(BOOTSTRAP_URL)],
        meta_tags=[{"name": "viewport", "content": "width=device-width, viewport-fit=cover"}],
        index_string=INDEX,
        suppress_callback_exceptions=True,  # or the whole layout would stand in the page once more
        use_pages=False,
        enable_mcp=False,
        add_log_handler=False,
    )
    register(app, page)
    server: Flask = app.server
    _refuse_late_requests(server)
    _refuse_malformed_callbacks(server, Callbacks(app.callback_map))

    def newest() -> Snapshot | None:
        return sampler.snapshot

    server.register_blueprint(create_api(settings, newest, sampler.fresh, started_at))
    server.register_blueprint(create_metrics(settings, newest))
    _serve_glance(server, newest)
    serve_small_plotly(server)
    _answer_unknown_paths(server, page)
    _explain_errors(server)
    _compress(server)
    _bound_answers(server)
    _keep_versions(server)
    _set_headers(server, " ".join([*app.csp_hashes(), assets.RECOVER_HASH]))
    return server


def _ignore_environment() -> None:
    """Forget what would have Dash and Flask debug, open developers' routes or serve elsewhere."""
    for name in list(os.environ):
        if name.upper().startswith(("DASH_", "FLASK_")):
            del os.environ[name]


def _refuse_late_requests(server: Flask) -> None:
    """Answer 503 to a request that waited too long for a thread: its client may be gone."""

    @server.before_request
    def check() -> Response | None:
        if request.environ.get(WAITED_SECONDS, 0.0) < MAX_WAIT_SECONDS:
            return None
        response = _error(503, "Busy", "Too many large answers are asked for at once.")
        response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response


def _refuse_malformed_callbacks(server: Flask, callbacks: Callbacks) -> None:
    """Answer 400 to callbacks that our page does not send; Dash would fail on them."""

    @server.before_request
    def check() -> None:
        if request.path != CALLBACKS or request.method != "POST":
            return
        try:
            posted = request.get_json()
        except RecursionError:
            posted = None
        if not callbacks.accept(posted):
            abort(400)


def _serve_glance(server: Flask, newest: NewestSnapshot) -> None:
    @server.get("/glance")
    def glance() -> Response:
        now = datetime.now(UTC)
        if "text/html" in request.headers.get("Accept", ""):  # as any browser asks
            response = Response(glance_page(newest(), now), mimetype="text/html")
        else:
            response = Response(glance_text(newest(), now), mimetype="text/plain")
        response.vary.add("Accept")
        return response


def _keep_versions(server: Flask) -> None:
    """Let a browser keep what is asked for by its version; registered last, it runs first."""

    @server.after_request
    def keep(response: Response) -> Response:
        is_versioned = request.path.startswith(assets.URL) and "m" in request.args
        if is_versioned and response.status_code == OK:
            response.cache_control.no_cache = None
            response.cache_control.public = True
            response.cache_control.max_age = YEAR_SECONDS
        return response


def _answer_unknown_paths(server: Flask, page: Page) -> None:
    @server.before_request
    def known() -> None:
        rule = request.url_rule.rule if request.url_rule else ""
        if isinstance(request.routing_exception, MethodNotAllowed):
            rule = _rule_of(server, request.path)
        if rule in UNWANTED or (rule == CATCH_ALL and page.database_of(request.path) is None):
            abort(404)


def _rule_of(server: Flask, path: str) -> str:
    """Return the route that a path has for GET; none where only other methods have one."""
    try:
        rule, _values = server.url_map.bind("").match(path, method="GET", return_rule=True)
    except MethodNotAllowed:
        return ""
    return rule.rule


def _explain_errors(server: Flask) -> None:
    @server.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        if request.path == CALLBACKS:
            log.warning(
                "refused a callback that no page of ours sends, from %s", request.remote_addr
            )
        response = _error(error.code or 500, error.name)
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response

    @server.errorhandler(ParameterError)
    def bad_parameter(error: ParameterError) -> Response:
        return _error(400, "Bad Parameter", str(error))

    @server.errorhandler(DependencyException)
    def no_such_file(_: DependencyException) -> Response:
        return _error(404, "Not Found")

    @server.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("%s %s failed: %s", request.method, request.path, described(error))
        return _error(500, "Internal Server Error")


def _error(status: int, name: str, message: str = "") -> Response:
    """Return an error: JSON under /api, a line of text elsewhere, with a way back for a browser."""
    text = message or f"{name}."
    if request.path.startswith("/api"):
        return error_response(status, name.lower().replace(" ", "_"), text)
    if "text/html" in request.headers.get("Accept", ""):
        response = Response(plain_page(text), status, mimetype="text/html")
    else:
        response = Response(f"{text}\n", status, mimetype="text/plain")
    response.vary.add("Accept")
    return response


def _compress(server: Flask) -> None:
    """Send text compressed to clients that accept it, and files as they were compressed before."""

    @server.after_request
    def compress(response: Response) -> Response:
        if response.status_code not in {OK, NOT_MODIFIED} or response.mimetype not in COMPRESSED:
            return response
        response.vary.add("Accept-Encoding")
        if response.status_code != OK or not request.accept_encodings["gzip"]:
            return response
        response.direct_passthrough = False
        small = compressed_copy(request.path)
        if small is None:
            data = response.get_data()
            if len(data) < MIN_COMPRESSED_BYTES:
                return response
            small = gzip.compress(data, 5)
        response.set_data(small)
        response.headers["Content-Encoding"] = "gzip"
        etag, _is_weak = response.get_etag()
        if etag:
            response.set_etag(etag, weak=True)
        return response


def _bound_answers(server: Flask) -> None:
    """Answer 503 in place of an answer that is too large; registered later, it runs earlier."""

    @server.after_request
    def bound(response: Response) -> Response:
        if (response.calculate_content_length() or 0) <= MAX_ANSWER_BYTES:
            return response
        limit = f"{MAX_ANSWER_BYTES // 1_000_000} MB"
        refusal = _error(503, "Too Large", f"This answer is larger than {limit}. Ask for less.")
        refusal.headers["Retry-After"] = str(RETRY_SECONDS)
        return refusal


def _set_headers(server: Flask, hashes: str) -> None:
    fixed = [("Content-Security-Policy", CONTENT_SECURITY_POLICY.format(hashes=hashes)), *HEADERS]

    @server.after_request
    def headers(response: Response) -> Response:
        response.headers.extend(fixed)
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-cache"
        return response
