"""What a hostile or confused client gets from a really served process."""

from __future__ import annotations

import gzip
import json
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from dash_app import VERSION
from tests.harness import Served, eventually, make_database, write_config

if TYPE_CHECKING:
    from pathlib import Path


def post(served: Served, path: str, body: bytes, content_type: str) -> tuple[int, str]:
    request = urllib.request.Request(
        served.url + path, data=body, headers={"Content-Type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


OUTPUTS = ("parts.parts", "after.parts", "snapshot.data", "record.data")
TICK = f"..{'...'.join(OUTPUTS)}.."


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"{}", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 30_000, "application/json", 400),
        (b'{"output": "no.such"}', "application/json", 400),
        (b'{"output": ["unhashable"]}', "application/json", 400),
        (
            b'{"output": "%b", "inputs": 1}' % TICK.encode(),
            "application/json",
            400,
        ),
        (b"x", "text/plain", 415),
        (b" " * 70_000, "application/json", 413),
    ],
)
def test_a_malformed_callback_gets_an_answer_without_a_traceback(
    served: Served, body: bytes, content_type: str, status: int
) -> None:
    found, text = post(served, "/_dash-update-component", body, content_type)
    assert found == status
    assert "Traceback" not in text
    assert "Traceback" not in served.log
    assert served.answers()


def test_a_failed_request_is_one_line_in_the_log(served: Served) -> None:
    before = len(served.log.splitlines())
    body = {"output": TICK, "inputs": []}
    post(served, "/_dash-update-component", json.dumps(body).encode(), "application/json")
    (line,) = served.log.splitlines()[before:]
    assert line.startswith("ERROR dash_app.server: POST /_dash-update-component failed: ")


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/assets/nope.css",
        "/assets/../pyproject.toml",
        "/assets/%2e%2e/pyproject.toml",
        "/frontend/nope.js",
        "/frontend/../stamp",
        "/_dash-component-suites/plotly/nope.js",
        "/_dash-component-suites/nope/nope.js",
        "/databases/nope",
        "/databases/email/",
    ],
)
def test_an_unknown_path_is_not_found_and_never_the_page(served: Served, path: str) -> None:
    assert served.get(path) == (404, "Not Found.\n")


def tick_at_once(served: Served) -> tuple[int, str]:
    """Return the answer to a page that asks for news as soon as it has its layout."""
    layout = served.json("/_dash-layout")
    pulse = next(
        part["props"]["data"]
        for part in layout["props"]["children"]
        if part["props"].get("id") == "snapshot"
    )
    body = {
        "output": TICK,
        "outputs": [dict(zip(("id", "property"), one.split("."), strict=True)) for one in OUTPUTS],
        "inputs": [{"id": "tick", "property": "n_intervals", "value": 1}],
        "state": [
            {"id": "snapshot", "property": "data", "value": pulse},
            {"id": "url", "property": "pathname", "value": "/"},
            {"id": "url", "property": "search", "value": ""},
        ],
        "changedPropIds": ["tick.n_intervals"],
    }
    return post(served, "/_dash-update-component", json.dumps(body).encode(), "application/json")


def test_a_tick_without_news_is_small(served: Served) -> None:
    def without_news() -> str | None:  # a reading may end between the two requests
        status, text = tick_at_once(served)
        assert status == 200
        return text if set(json.loads(text)["response"]) == {"snapshot"} else None

    text = eventually(without_news)
    assert text is not None
    assert len(text) < 1000


def fetch_any(served: Served, path: str) -> tuple[Any, bytes]:
    """Return headers and body of an answer, whatever its status."""
    try:
        return fetch(served, path)
    except urllib.error.HTTPError as error:
        with error:
            return error.headers, error.read()


def fetch(served: Served, path: str, **headers: str) -> tuple[Any, bytes]:
    request = urllib.request.Request(served.url + path, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.headers, response.read()


@pytest.mark.parametrize(
    "path", ["/", "/_dash-dependencies", "/frontend/bootstrap.min.css", "/_dash-layout"]
)
def test_text_is_compressed_for_whoever_takes_it(served: Served, path: str) -> None:
    headers, small = fetch(served, path, **{"Accept-Encoding": "br, gzip"})
    plain, whole = fetch(served, path)
    assert headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in headers["Vary"]
    assert plain["Content-Encoding"] is None
    assert len(small) < len(whole)
    if path.startswith("/frontend"):  # the others tell the time
        assert gzip.decompress(small) == whole


def test_a_compressed_file_is_asked_for_once(served: Served) -> None:
    path = "/frontend/bootstrap.min.css"
    headers, _ = fetch(served, path, **{"Accept-Encoding": "gzip"})
    again = {"Accept-Encoding": "gzip", "If-None-Match": headers["ETag"]}
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(served, path, **again)
    assert caught.value.code == 304


def test_the_page_can_be_put_on_a_home_screen(served: Served) -> None:
    _, manifest = fetch(served, "/assets/manifest.webmanifest")
    icons = json.loads(manifest)["icons"]
    assert len(icons) == 2
    for icon in icons:
        headers, image = fetch(served, icon["src"])
        assert headers["Content-Type"] == icon["type"]
        width = int.from_bytes(image[16:20], "big")  # of a PNG's header
        assert f"{width}x{width}" == icon["sizes"]
    assert 'rel="manifest"' in served.get("/")[1]


HOSTILE_ENVIRONMENT = {
    "DASH_DEBUG": "true",
    "DASH_HOT_RELOAD": "true",
    "DASH_UI": "true",
    "DASH_MCP_ENABLED": "true",
    "dash_url_base_pathname": "/elsewhere/",
    "FLASK_DEBUG": "1",
}


def test_no_environment_opens_what_developers_use(tmp_path: Path) -> None:
    database = make_database(tmp_path / "email.db", messages=3)
    config = write_config(tmp_path, [("email", database)])
    with Served(config, **HOSTILE_ENVIRONMENT) as served:  # type: ignore[arg-type]
        status, page = served.get("/")
        assert status == 200
        assert "/_dash-component-suites/" in page
        (given,) = re.findall(r'id="_dash-config" type="application/json">(.*?)</script>', page)
        found = json.loads(given)
        assert (found["url_base_pathname"], found["ui"]) == (None, False)
        assert "hot_reload" not in found
        for path in ("/_mcp", "/_reload-hash", "/_favicon.ico", "/elsewhere/"):
            assert served.get(path) == (404, "Not Found.\n")
        status, text = post(served, "/_dash-update-component", b"{}", "application/json")
        assert (status, text) == (400, "Bad Request.\n")
        assert '"hot_reload"' not in page
        assert 'ui":true' not in page.replace(" ", "")


def test_nothing_says_which_versions_run(served: Served) -> None:
    """Which fault of which library could be tried is for nobody to read in a header or the page."""
    for path in ("/", "/glance", "/health", "/api/db-status", "/nope"):
        headers, body = fetch_any(served, path)
        assert headers["Server"] is None
        assert VERSION not in body.decode()


@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/frontend/bootstrap.min.css", "/nope"])
def test_every_answer_tells_the_browser_what_it_may_do(served: Served, path: str) -> None:
    headers, _ = fetch_any(served, path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Access-Control-Allow-Origin"] is None


def test_a_browser_that_is_lost_is_led_back(served: Served) -> None:
    status, page = served.get("/nope", {"Accept": "text/html"})
    assert status == 404
    assert '<a href="/">All databases</a>' in page
