"""What a hostile or confused client gets from a really served process."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Served, make_database, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    database = make_database(folder / "email.db", messages=3)
    with Served(write_config(folder, [("email", database)])) as served:
        yield served


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


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"{}", "application/json", 500),
        (b'{"output": "no.such"}', "application/json", 500),
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
    post(served, "/_dash-update-component", json.dumps({}).encode(), "application/json")
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


def test_a_tick_without_news_is_small(served: Served) -> None:
    layout = served.json("/_dash-layout")
    pulse = next(
        part["props"]["data"]
        for part in layout["props"]["children"]
        if part["props"].get("id") == "snapshot"
    )
    body = {
        "output": "..facts.data...snapshot.data...record.data..",
        "outputs": [{"id": name, "property": "data"} for name in ("facts", "snapshot", "record")],
        "inputs": [{"id": "tick", "property": "n_intervals", "value": 1}],
        "state": [
            {"id": "snapshot", "property": "data", "value": pulse},
            {"id": "url", "property": "pathname", "value": "/"},
            {"id": "url", "property": "search", "value": ""},
        ],
        "changedPropIds": ["tick.n_intervals"],
    }
    status, text = post(
        served, "/_dash-update-component", json.dumps(body).encode(), "application/json"
    )
    assert status == 200
    assert "facts" not in json.loads(text)["response"]
    assert len(text) < 1000


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


def test_a_browser_that_is_lost_is_led_back(served: Served) -> None:
    status, page = served.get("/nope", {"Accept": "text/html"})
    assert status == 404
    assert '<a href="/">All databases</a>' in page
