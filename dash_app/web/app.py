"""The WSGI application: Dash's page, the JSON routes, and the rules for every response."""

import gzip
import logging
import os
from datetime import UTC, datetime
from http.client import NOT_FOUND, NOT_MODIFIED, OK
from typing import Any

from dash import Dash
from dash.development.base_component import ComponentRegistry
from dash.exceptions import DependencyException
from flask import Flask, Response, abort, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from dash_app.api.parameters import ParameterError
from dash_app.api.responses import error_response
from dash_app.api.routes import create_api
from dash_app.metrics import create_metrics
from dash_app.model.snapshot import NewestSnapshot, Snapshot
from dash_app.page import assets
from dash_app.page.callbacks import register
from dash_app.page.glance import glance_page, plain_page
from dash_app.page.layout import INDEX
from dash_app.page.page import Page
from dash_app.sampler import Sampler
from dash_app.settings import Settings
from dash_app.system.logging_setup import describe_error
from dash_app.web.callback_requests import CALLBACKS, is_valid
from dash_app.web.connection import WAITED_SECONDS
from dash_app.web.static_files import (
    BOOTSTRAP_URL,
    VENDORED,
    cache_versioned_assets,
    compressed_copy,
    serve_basic_plotly,
)
from dash_app.words.summaries import glance_text

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 24_000_000
"""Maximum size of a response: less than `listeners.MAX_UNREAD_BYTES`."""

MAX_WAIT_SECONDS, RETRY_SECONDS = 20, 10
"""Maximum time that a request waits for a thread, and the pause that clients are asked for."""

CATCH_ALL = "/<path:path>"
"""Dash's own route, which would answer any unknown path with the page."""

UNWANTED = {"/_reload-hash", "/_favicon.ico", "/static/<path:filename>"}
"""Developers' routes that no option of Dash or Flask removes."""

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
"""Smaller responses fit into one packet anyway."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)
"""Inline styles are allowed because Dash's components add style elements."""

# The server draws Bootstrap's components itself, so that no browser needs their script (65 kB).
ComponentRegistry.registry.remove("dash_bootstrap_components")

HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class App(Dash):
    """Dash with the current facts in its first response."""

    page: Page

    def interpolate_index(self, *args: Any, **parts: Any) -> str:  # noqa: ANN401
        """Return the HTML of the first response. Dash calls this for each one."""
        index: str = super().interpolate_index(*args, **parts)  # type: ignore[no-untyped-call]
        return self.page.first_response(index)


def create_server(settings: Settings, sampler: Sampler, started_at: datetime) -> Flask:
    """Return the application over a sampler's snapshots and the history."""
    _clear_environment()
    page = Page(settings, sampler, started_at)
    app = App(
        __name__,
        title="Mission Control",
        update_title="",
        assets_folder=str(assets.ASSETS),
        assets_ignore="recover.js|start.js|theme.js",
        assets_path_ignore=[VENDORED],
        external_stylesheets=[assets.versioned(BOOTSTRAP_URL)],
        meta_tags=[{"name": "viewport", "content": "width=device-width, viewport-fit=cover"}],
        index_string=INDEX,
        suppress_callback_exceptions=True,  # otherwise the page contains the whole layout twice
        use_pages=False,
        enable_mcp=False,
        add_log_handler=False,
    )
    app.page = page
    register(app, page)
    server: Flask = app.server
    _check_requests(server, app, page)

    def newest() -> Snapshot | None:
        return sampler.snapshot

    server.register_blueprint(create_api(settings, newest, sampler.fresh, started_at))
    server.register_blueprint(create_metrics(newest, settings.metrics.max_tables))
    _serve_glance(server, newest)
    serve_basic_plotly(server)
    _register_error_handlers(server)
    # Flask runs these in reverse order.
    _compress(server)
    _limit_size(server)
    cache_versioned_assets(server)
    _set_headers(server, " ".join([*app.csp_hashes(), assets.RECOVER_HASH]))
    return server


def _clear_environment() -> None:
    """Remove variables that would make Dash or Flask debug, or serve developers' routes."""
    for name in list(os.environ):
        if name.upper().startswith(("DASH_", "FLASK_")):
            del os.environ[name]


def _check_requests(server: Flask, app: App, page: Page) -> None:
    """Reject requests that waited too long, that our page does not send, or for unknown paths."""

    @server.before_request
    def check() -> Response | None:
        if request.environ.get(WAITED_SECONDS, 0.0) >= MAX_WAIT_SECONDS:  # its client may be gone
            response = _error(503, "Busy", "Too many large responses are requested at once.")
            response.headers["Retry-After"] = str(RETRY_SECONDS)
            return response
        if request.path == CALLBACKS and request.method == "POST":
            try:
                body = request.get_json()
            except RecursionError:
                body = None
            if not is_valid(body, app.callback_map):
                abort(400)
        rule = request.url_rule.rule if request.url_rule else ""
        if isinstance(request.routing_exception, MethodNotAllowed):
            rule = _rule_for_get(server, request.path)
        if rule in UNWANTED or (rule == CATCH_ALL and page.database_of(request.path) is None):
            abort(404)
        return None


def _serve_glance(server: Flask, newest: NewestSnapshot) -> None:
    @server.get("/glance")
    def glance() -> Response:
        now = datetime.now(UTC)
        if "text/html" in request.headers.get("Accept", ""):  # browsers
            page = glance_page(newest(), now, reloads=g.parameters.refresh == "on")
            response = Response(page, mimetype="text/html")
        else:
            response = Response(glance_text(newest(), now), mimetype="text/plain")
        response.vary.add("Accept")
        return response


def _rule_for_get(server: Flask, path: str) -> str:
    """Return the route that a path has for GET; "" if it has one for other methods only."""
    try:
        rule, _values = server.url_map.bind("").match(path, method="GET", return_rule=True)
    except MethodNotAllowed:
        return ""
    return rule.rule


def _register_error_handlers(server: Flask) -> None:
    @server.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        if request.path == CALLBACKS:
            log.warning(
                "rejected a callback request that our page does not send, from %s",
                request.remote_addr,
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
    def failure(error: Exception) -> Response:
        log.error("%s %s failed: %s", request.method, request.path, describe_error(error))
        return _error(500, "Internal Server Error")


def _error(status: int, name: str, message: str = "") -> Response:
    """Return an error: JSON under /api, a page with a link for browsers, otherwise text."""
    text = message or f"{name}."
    if request.path.startswith("/api"):
        return error_response(status, name.lower().replace(" ", "_"), text)
    text = "No such page." if status == NOT_FOUND else text
    if "text/html" in request.headers.get("Accept", ""):
        response = Response(plain_page(text), status, mimetype="text/html")
    else:
        response = Response(f"{text}\n", status, mimetype="text/plain")
    response.vary.add("Accept")
    return response


def _compress(server: Flask) -> None:
    """Compress text for clients that accept it. Files have compressed copies."""

    @server.after_request
    def compress(response: Response) -> Response:
        if response.status_code not in {OK, NOT_MODIFIED} or response.mimetype not in COMPRESSED:
            return response
        response.vary.add("Accept-Encoding")
        if response.status_code != OK or not request.accept_encodings["gzip"]:
            return response
        response.direct_passthrough = False
        compressed = compressed_copy(request.path)
        if compressed is None:
            data = response.get_data()
            if len(data) < MIN_COMPRESSED_BYTES:
                return response
            compressed = gzip.compress(data, 5)
        response.set_data(compressed)
        response.headers["Content-Encoding"] = "gzip"
        etag, _is_weak = response.get_etag()
        if etag:
            response.set_etag(etag, weak=True)
        return response


def _limit_size(server: Flask) -> None:
    """Answer 503 instead of sending a response that is too large."""

    @server.after_request
    def check(response: Response) -> Response:
        if (response.calculate_content_length() or 0) <= MAX_ANSWER_BYTES:
            return response
        limit = f"{MAX_ANSWER_BYTES // 1_000_000} MB"
        error = _error(503, "Too Large", f"This response is larger than {limit}. Ask for less.")
        error.headers["Retry-After"] = str(RETRY_SECONDS)
        return error


def _set_headers(server: Flask, hashes: str) -> None:
    fixed = [("Content-Security-Policy", CONTENT_SECURITY_POLICY.format(hashes=hashes)), *HEADERS]

    @server.after_request
    def set_headers(response: Response) -> Response:
        response.headers.extend(fixed)
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-cache"
        return response
