"""Scripts and style sheets: their versions, compressed copies, and the small Plotly."""

import sys
from http.client import OK
from pathlib import Path

from dash.fingerprint import check_fingerprint
from flask import Flask, Response, request, send_from_directory

from dash_app.page import assets

YEAR_SECONDS = 31_536_000

VENDORED = "vendor"
"""The folder of assets that are not ours; `ops/vendor` renews it."""

BOOTSTRAP_URL = f"{assets.URL}{VENDORED}/bootstrap.min.css"
PLOTLY = "plotly-basic.min.js"
LIBRARIES_URL = "/_dash-component-suites/"
PLOTLY_URL = f"{LIBRARIES_URL}plotly/package_data/plotly.min.js"
"""The URL from which Dash's charts load Plotly."""


def serve_basic_plotly(server: Flask) -> None:
    """Serve Plotly's basic bundle in place of the full one, which is four times as large."""

    @server.before_request
    def basic_plotly() -> Response | None:
        if check_fingerprint(request.path)[0] != PLOTLY_URL:
            return None
        return send_from_directory(assets.ASSETS / VENDORED, PLOTLY, max_age=YEAR_SECONDS)


def cache_versioned_assets(server: Flask) -> None:
    """Let browsers keep the assets whose URL has their version."""

    @server.after_request
    def cache(response: Response) -> Response:
        is_versioned = request.path.startswith(assets.URL) and "m" in request.args
        if is_versioned and response.status_code == OK:
            response.cache_control.no_cache = None
            response.cache_control.public = True
            response.cache_control.max_age = YEAR_SECONDS
        return response


def compressed_copy(url_path: str) -> bytes | None:
    """Return the gzip copy of the file that was served for a URL path; None if there is none.

    `ops/environment.sh` makes the copies. Many URLs lead to one file, because Dash accepts any
    fingerprint in its name.
    """
    file = _file_of(check_fingerprint(url_path)[0])
    if file is None:
        return None
    copy = file.with_name(f"{file.name}.gz")
    try:
        is_current = copy.stat().st_mtime_ns == file.stat().st_mtime_ns
        return copy.read_bytes() if is_current else None
    except OSError:
        return None


def _file_of(url_path: str) -> Path | None:
    if url_path == PLOTLY_URL:
        return assets.ASSETS / VENDORED / PLOTLY
    if url_path.startswith(assets.URL):
        return assets.ASSETS / url_path.removeprefix(assets.URL)
    if url_path.startswith(LIBRARIES_URL):
        package, _, name = url_path.removeprefix(LIBRARIES_URL).partition("/")
        return Path(sys.modules[package].__path__[0], name)
    return None
