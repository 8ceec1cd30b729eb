"""Answers of a served process to hostile and confused clients."""

import copy
import gzip
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dash
import pytest

from dash_app import VERSION, settings
from dash_app.history.writer import History
from dash_app.page import assets
from dash_app.sampler import Sampler
from dash_app.system.logging_setup import MAX_LINES
from dash_app.web import app
from dash_app.web.app import create_server
from tests.harness import PATIENCE_SECONDS, ROOT, Served, eventually, make_database, write_config
from tests.page.helpers import TICK, tick_request


def post(served: Served, path: str, body: bytes, content_type: str) -> tuple[int, str]:
    request = urllib.request.Request(
        served.url + path, data=body, headers={"Content-Type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


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


def test_a_failed_request_logs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = settings.load(write_config(tmp_path, [("a", tmp_path / "a.db")]))
    with closing(History(loaded.history)) as history:
        app = create_server(loaded, Sampler(loaded, history), datetime.now(UTC))
        app.view_functions["api.health"] = lambda: str(1 // 0)
        assert app.test_client().get("/health").status_code == 500
    (line,) = caplog.messages
    assert line.startswith("GET /health failed: ZeroDivisionError('")


def page_callback(served: Served, input_id: str, value: object, state: list[object]) -> Any:
    """Return the page's request after a change of an input, with the values of its state."""
    callback = next(
        declared
        for declared in served.json("/_dash-dependencies")[::-1]  # both have the URL
        if input_id in [each["id"] for each in declared["inputs"]]
    )
    outputs = [name.rpartition(".") for name in callback["output"].strip(".").split("...")]
    return {
        "output": callback["output"],
        "outputs": [{"id": name, "property": attribute} for name, _, attribute in outputs],
        "inputs": [
            declared | {"value": value if declared["id"] == input_id else None}
            for declared in callback["inputs"]
        ],
        "state": [
            declared | {"value": given}
            for declared, given in zip(callback["state"], state, strict=True)
        ],
        "changedPropIds": [
            "{id}.{property}".format(**declared)
            for declared in callback["inputs"]
            if declared["id"] == input_id
        ],
    }


def send(served: Served, callback: object) -> int:
    body = json.dumps(callback).encode()
    return post(served, "/_dash-update-component", body, "application/json")[0]


def parts_of(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to each part of a document."""
    yield path
    numbered = range(len(part)) if isinstance(part, list) else ()
    for key in part if isinstance(part, dict) else numbered:
        yield from parts_of(part[key], (*path, key))


def with_part(document: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


UNTIL = "2026-11-23T15:00:00Z"
JUNK: list[object] = [None, -1, 1.5, True, "x", "x" * 9000, [], [1], {}, {"a": 1}, "\ud800", 10**40]


def test_no_malformed_callback_makes_the_service_fail(served: Served) -> None:
    """Each part of the page's requests, changed into anything, gets 200 or 400 and a short log."""
    action = {"acknowledge": "8h", "incidents": "1 2", "database": "email", "until": UNTIL}
    for callback in (
        page_callback(served, "tick", 1, [{"version": 1}, "/"]),
        page_callback(served, "action", action, [{"version": 1}, "/"]),
    ):
        assert send(served, callback) == 200
        before = served.log
        for path in parts_of(callback):
            for junk in JUNK:
                assert send(served, with_part(callback, path, junk)) in {200, 400}, (path, junk)
        assert_rejections(served.log.removeprefix(before))


def assert_rejections(log: str) -> None:
    """Check that each rejected callback logged one short line, or none if there were many."""
    lines = log.splitlines()
    assert len(lines) <= MAX_LINES
    for line in lines:
        assert line.startswith("WARNING dash_app.web.app: rejected a callback")
        assert len(line) < 200


@pytest.mark.parametrize(
    ("zone", "status"),
    [
        ("Europe/Berlin", 200),
        ("Mars/Olympus", 200),  # a browser may know more zones than the server
        (None, 200),
        ("Europe", 200),
        ("E" * 300, 400),
        ("../../etc/passwd", 400),
        ("\0", 400),
        (5, 400),
    ],
)
def test_charts_are_drawn_in_a_valid_time_zone_only(
    served: Served, zone: object, status: int
) -> None:
    callback = page_callback(served, "browser", {"zone": zone}, ["/", "?range=1h"])
    assert send(served, callback) == status


@pytest.mark.parametrize(
    "action",
    [
        {"acknowledge": "end", "database": "nosuch", "until": UNTIL},
        {"acknowledge": "end", "database": "email", "until": "\U000e0001" * 4_000},
        {"acknowledge": "end", "database": "email", "until": "0001-01-01T00:00:00+23:59"},
        {"acknowledge": "1h", "incidents": "1 x"},
        {"acknowledge": "for ever", "incidents": "9" * 400},
        {},
        None,
    ],
)
def test_invalid_acknowledgements_are_rejected(served: Served, action: object) -> None:
    before = served.log
    assert send(served, page_callback(served, "action", action, [{"version": 1}, "/"])) == 400
    assert_rejections(served.log.removeprefix(before))


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/_dash-layout", {"Referer": "http://["}),
        ("/metrics", {"Accept": "application/openmetrics-text; version=x"}),
        ("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0; escaping"}),
    ],
)
def test_meaningless_headers_are_ignored(
    served: Served, path: str, headers: dict[str, str]
) -> None:
    assert served.get(path, headers)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/assets/nope.css",
        "/assets/../pyproject.toml",
        "/assets/%2e%2e/pyproject.toml",
        "/assets/vendor/nope.js",
        "/assets/vendor/../../pyproject.toml",
        "/_dash-component-suites/plotly/nope.js",
        "/_dash-component-suites/nope/nope.js",
        "/databases/nope",
        "/databases/email/",
    ],
)
def test_an_unknown_path_is_not_found(served: Served, path: str) -> None:
    assert served.get(path) == (404, "No such page.\n")


def first_tick(served: Served) -> tuple[int, str]:
    """Return the answer to the tick of a page that has just received its layout."""
    layout = served.json("/_dash-layout")
    pulse = next(
        part["props"]["data"]
        for part in layout["props"]["children"]
        if part["props"].get("id") == "snapshot"
    )
    body = tick_request(pulse)
    return post(served, "/_dash-update-component", json.dumps(body).encode(), "application/json")


def test_a_tick_without_changes_is_small(served: Served) -> None:
    def without_changes() -> str | None:  # a reading may finish between the two requests
        status, text = first_tick(served)
        assert status == 200
        return None if "facts" in json.loads(text)["response"]["snapshot"] else text

    text = eventually(without_changes)
    assert text is not None
    assert len(text) < 1000


def fetch_any(served: Served, path: str) -> tuple[Any, bytes]:
    """Return headers and body of an answer with any status."""
    try:
        return fetch(served, path)
    except urllib.error.HTTPError as error:
        with error:
            return error.headers, error.read()


def fetch(served: Served, path: str, **headers: str) -> tuple[Any, bytes]:
    request = urllib.request.Request(served.url + path, headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        return response.headers, response.read()


@pytest.mark.parametrize("path", ["/", "/assets/vendor/bootstrap.min.css", "/_dash-layout"])
def test_text_is_compressed_if_the_client_accepts_it(served: Served, path: str) -> None:
    headers, small = fetch(served, path, **{"Accept-Encoding": "br, gzip"})
    plain, whole = fetch(served, path)
    assert headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in headers["Vary"]
    assert plain["Content-Encoding"] is None
    assert len(small) < len(whole)
    if path.startswith("/assets"):  # the others contain the time
        assert gzip.decompress(small) == whole


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Files with compressed copies, by URL without a fingerprint."""
    ours, dash_folder = tmp_path / "assets", tmp_path / "dash"
    shutil.copytree(assets.ASSETS, ours)
    renderer = Path("dash-renderer", "build", "dash_renderer.min.js")
    (dash_folder / renderer).parent.mkdir(parents=True)
    shutil.copy2(Path(dash.__path__[0], renderer), dash_folder / renderer)
    script = '. "$0"; compress_files "$@"'
    folders = (ROOT / "ops" / "environment.sh", ours, dash_folder)
    subprocess.run(["bash", "-c", script, *folders], check=True)
    monkeypatch.setattr(assets, "ASSETS", ours)
    monkeypatch.setattr(dash, "__path__", [str(dash_folder)])
    suites = "/_dash-component-suites"
    return {
        f"{suites}/plotly/package_data/plotly.min.js": ours / "vendor" / "plotly-basic.min.js",
        f"{suites}/dash/{renderer}": dash_folder / renderer,
        "/assets/page.css": ours / "page.css",
    }


def served_compressed(tmp_path: Path, paths: Iterable[str]) -> Iterator[bytes]:
    """Yield each path's answer to a client that accepts gzip, decompressed."""
    loaded = settings.load(write_config(tmp_path, [("a", tmp_path / "a.db")]))
    with closing(History(loaded.history)) as history:
        client = create_server(loaded, Sampler(loaded, history), datetime.now(UTC)).test_client()
        for path in paths:
            answer = client.get(path, headers={"Accept-Encoding": "gzip"})
            assert (answer.status_code, answer.content_encoding) == (200, "gzip")
            yield gzip.decompress(answer.data)


def test_the_service_compresses_no_file_that_has_a_copy(
    copies: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dash accepts any fingerprint in the URL of a file."""
    compressed: list[int] = []

    def compress(data: bytes, level: int) -> bytes:
        compressed.append(len(data))
        return gzip.compress(data, level)

    monkeypatch.setattr(app, "gzip", SimpleNamespace(compress=compress))
    for url, file in copies.items():
        made_up = [url.replace(".", f".v{n}m{n}.", 1) for n in range(5) if "_dash" in url]
        for text in served_compressed(tmp_path, [url, *made_up]):
            assert text == file.read_bytes()
    assert compressed == []


def test_a_copy_of_a_former_file_is_not_served(copies: dict[str, Path], tmp_path: Path) -> None:
    copies["/assets/page.css"].write_text("a { }\n" * 500)
    (text,) = served_compressed(tmp_path, ["/assets/page.css"])
    assert text == copies["/assets/page.css"].read_bytes()


def test_a_compressed_file_is_not_sent_twice(served: Served) -> None:
    path = "/assets/vendor/bootstrap.min.css"
    headers, _ = fetch(served, path, **{"Accept-Encoding": "gzip"})
    conditional = {"Accept-Encoding": "gzip", "If-None-Match": headers["ETag"]}
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(served, path, **conditional)
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


def test_environment_variables_open_no_developer_routes(tmp_path: Path) -> None:
    database = make_database(tmp_path / "email.db", messages=3)
    config = write_config(tmp_path, [("email", database)])
    with Served(config, **HOSTILE_ENVIRONMENT) as served:  # type: ignore[arg-type]
        status, page = served.get("/")
        assert status == 200
        assert "/_dash-component-suites/" in page
        (given,) = re.findall(r'id="_dash-config" type="application/json">(.*?)</script>', page)
        config = json.loads(given)
        assert (config["url_base_pathname"], config["ui"]) == (None, False)
        assert "hot_reload" not in config
        for path in ("/_mcp", "/_reload-hash", "/_favicon.ico", "/elsewhere/"):
            assert served.get(path) == (404, "No such page.\n")
        status, text = post(served, "/_dash-update-component", b"{}", "application/json")
        assert (status, text) == (400, "Bad Request.\n")
        assert '"hot_reload"' not in page
        assert 'ui":true' not in page.replace(" ", "")


def test_no_version_is_disclosed(served: Served) -> None:
    """It would help to choose an exploit."""
    for path in ("/", "/glance", "/health", "/api/db-status", "/nope"):
        headers, body = fetch_any(served, path)
        assert headers["Server"] is None
        assert VERSION not in body.decode()


@pytest.mark.parametrize(
    "path", ["/", "/assets/page.js", "/assets/vendor/bootstrap.min.css", "/nope"]
)
def test_every_answer_has_security_headers(served: Served, path: str) -> None:
    headers, _ = fetch_any(served, path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Access-Control-Allow-Origin"] is None


def test_an_error_page_links_to_the_overview(served: Served) -> None:
    status, page = served.get("/nope", {"Accept": "text/html"})
    assert status == 404
    assert '<a href="/">All databases</a>' in page
