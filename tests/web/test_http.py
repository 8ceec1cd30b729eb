"""The routes for machines as HTTP: caching, methods, parameters, paging, compression, origins."""

import csv
import gzip
import http.client
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dash_app import settings
from dash_app.api.parameters import MAX_BYTES, MAX_TOTAL_POINTS, PARAMETERS
from dash_app.history.writer import History
from dash_app.sampler import Sampler
from dash_app.web.app import MAX_ANSWER_BYTES, create_server
from tests.harness import (
    PATIENCE_SECONDS,
    LiveWriter,
    Served,
    eventually,
    make_database,
    write_config,
)

ORIGIN = "https://home.example:8443"
PATHS = [route.replace("<name>", "email") for route in PARAMETERS]
JSON_PATHS = [path for path in PATHS if path.startswith("/api/")]
STEADY = ["/api/db-status", "/api/events", "/api/openapi.json"]
"""Routes whose facts stay the same if nothing happens. Memory and disk space always change."""

EVENTS = [f"2026-11-2{day}T12:00:00+00:00" for day in range(1, 6)]


class Answer(NamedTuple):
    """A response, with header names in title case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def fetch(served: Served, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send a request. Underscores in header names stand for hyphens."""
    request_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_SECONDS)
    with closing(client) as connection:
        connection.request(method, path, headers=request_headers)
        response = connection.getresponse()
        response_headers = {name.title(): value for name, value in response.getheaders()}
        return Answer(response.status, response_headers, response.read())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("http")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """A service with five schema events in its history and one allowed origin."""
    path = make_database(folder / "email.db", messages=3, drafts=1)
    config = write_config(
        folder, [("email", path)], server=f"allowed_origins = {json.dumps([ORIGIN])}"
    )
    with closing(History(settings.load(config).history)):
        pass
    with closing(sqlite3.connect(folder / "history.db")) as connection, connection:
        connection.executemany(
            "INSERT INTO event (database, kind, at, before, after)"
            " VALUES ('email', 'schema_changed', ?, ?, ?)",
            [(at, '{"objects": []}', '{"objects": ["table a"]}') for at in EVENTS],
        )
    with Served(config) as served:
        eventually(lambda: served.database("email")["change"])
        yield served


@pytest.mark.parametrize("path", JSON_PATHS)
def test_json_may_be_cached_but_must_be_revalidated(served: Served, path: str) -> None:
    answer = fetch(served, path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Etag"].startswith('W/"')
    assert set(answer.headers["Vary"].split(", ")) == {"Accept-Encoding", "Origin"}


@pytest.mark.parametrize("path", [*STEADY, "/api/databases/email"])
def test_unchanged_facts_are_not_sent_again(served: Served, path: str) -> None:
    def twice() -> tuple[Answer, Answer] | None:
        first = fetch(served, path)
        again = fetch(served, path, If_None_Match=first.headers["Etag"], Accept_Encoding="gzip")
        return (first, again) if again.status == 304 else None

    pair = eventually(twice)  # the disk space may change between the two
    assert pair
    first, again = pair
    assert again.body == b""
    for name in ("Etag", "Cache-Control", "Vary"):
        assert again.headers[name] == first.headers[name]
    assert fetch(served, path, If_None_Match='W/"other"').status == 200


def test_a_reading_without_changes_keeps_the_etag(served: Served) -> None:
    def verified_at() -> str:
        return str(served.database("email")["verifiedAt"])

    etags = {path: fetch(served, path).headers["Etag"] for path in STEADY}
    before = verified_at()
    eventually(lambda: verified_at() != before)
    for path, etag in etags.items():
        assert fetch(served, path, If_None_Match=etag).status == 304, path
    answer = fetch(served, "/api/db-status", If_None_Match=etags["/api/db-status"])
    assert 0 <= int(answer.headers["Age"]) <= 20


def test_a_changed_fact_changes_the_etag(served: Served, folder: Path) -> None:
    etag = fetch(served, "/api/db-status").headers["Etag"]
    with LiveWriter(folder / "email.db") as writer:
        writer.do("INSERT INTO messages (text) VALUES ('x')")
        eventually(lambda: fetch(served, "/api/db-status", If_None_Match=etag).status == 200)


def test_a_past_range_keeps_its_etag_in_json_and_csv(served: Served) -> None:
    past = "/api/history?from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z"
    for path in (past, f"{past}&format=csv"):
        answer = fetch(served, path)
        assert fetch(served, path, If_None_Match=answer.headers["Etag"]).status == 304


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_its_body(served: Served, path: str) -> None:
    get, head = fetch(served, path), fetch(served, path, "HEAD")
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers.keys() == get.headers.keys()
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.parametrize("path", PATHS)
def test_options_and_unknown_methods_list_the_allowed_ones(served: Served, path: str) -> None:
    options = fetch(served, path, "OPTIONS")
    assert (options.status, options.body) == (204, b"")
    assert "Content-Type" not in options.headers
    for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
        rejected = fetch(served, path, method)
        assert rejected.status == 405
        assert rejected.headers["Allow"] == options.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_an_unknown_path_is_not_found_by_any_method(served: Served) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = fetch(served, "/api/nope", method)
        assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", PATHS)
def test_unknown_parameters_are_rejected(served: Served, path: str) -> None:
    answer = fetch(served, f"{path}?%3Cb%3E=1")
    assert answer.status == 400
    assert "There is no parameter <b>." in answer.body.decode()
    assert "no-" in answer.headers["Cache-Control"]


def test_an_error_for_a_browser_is_escaped(served: Served) -> None:
    answer = fetch(served, "/glance?%3Cb%3E=1", Accept="text/html")
    assert answer.status == 400
    assert b"&lt;b&gt;" in answer.body
    assert b"<b>" not in answer.body


@pytest.mark.parametrize("name", ["metric", "from", "to", "points", "format"])
def test_a_repeated_parameter_is_rejected(served: Served, name: str) -> None:
    answer = fetch(served, f"/api/history?{name}=1&{name}=1")
    assert answer.json["error"]["message"] == f"{name} may be given only once."


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [("/api/events", 70_000, 413), (f"/api/history?table={'a' * 20_000}", 0, 431)],
)
def test_a_request_that_is_too_large_is_rejected_unread(
    served: Served, path: str, length: int, status: int
) -> None:
    answer = fetch(served, path, Content_Length=str(length))
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/plain; charset=utf-8")


def test_times_of_any_zone_and_age_are_accepted(served: Served) -> None:
    for time in (
        "0001-01-01T00:00:00%2B14:00",
        "1969-12-31t23:59:59.999z",
        "2026-11-23T15:00-02:00",
    ):
        assert fetch(served, f"/api/history?from={time}").status == 200, time
        assert fetch(served, f"/api/events?since={time}").status == 200, time
    assert fetch(served, "/api/events?since=9999-12-31T23:59:59-14:00").json["events"] == []


def test_responses_are_compressed_if_the_client_accepts_it(served: Served) -> None:
    plain = fetch(served, "/api/openapi.json")
    small = fetch(served, "/api/openapi.json", Accept_Encoding="gzip")
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.body) == plain.body
    assert len(small.body) < len(plain.body) / 4
    uncompressed = fetch(served, "/api/openapi.json", Accept_Encoding="gzip;q=0, identity")
    assert "Content-Encoding" not in uncompressed.headers


@pytest.mark.parametrize("page", ["/", "/glance"])
def test_our_files_are_cached_only_by_version(served: Served, page: str) -> None:
    html = fetch(served, page, Accept="text/html").body.decode()
    ours = re.findall(r'"(/assets/[\w.-]+\.(?:js|css)[^"]*)"', html)
    assert {path.partition("?")[0] for path in ours} >= {"/assets/theme.js", "/assets/page.css"}
    for path in ours:
        assert fetch(served, path).headers["Cache-Control"] == "public, max-age=31536000"
        plain = path.partition("?")[0]
        assert fetch(served, plain).headers["Cache-Control"] == "no-cache"
        assert fetch(served, f"{plain}nope?m=1").headers["Cache-Control"] == "no-cache"


def test_scripts_of_an_allowed_origin_may_read_the_api(served: Served) -> None:
    answer = fetch(served, "/api/db-status", Origin=ORIGIN)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    preflight = fetch(
        served, "/api/events", "OPTIONS", Origin=ORIGIN, Access_Control_Request_Method="GET"
    )
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("path", "origin"), [("/api/db-status", "https://evil.example"), ("/", ORIGIN)]
)
def test_other_scripts_may_read_nothing(served: Served, path: str, origin: str) -> None:
    headers = fetch(served, path, Origin=origin).headers
    assert not [name for name in headers if name.startswith("Access-Control")]


def test_without_allowed_origins_no_script_may_read(tmp_path: Path) -> None:
    with Served(write_config(tmp_path, [("a", make_database(tmp_path / "a.db", a=1))])) as served:
        answer = fetch(served, "/api/db-status", Origin=ORIGIN)
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert answer.headers["Vary"] == "Accept-Encoding"


def ids(document: Any) -> list[int]:
    return [event["id"] for event in document["events"]]


def test_events_are_paged_back_to_the_first(served: Served) -> None:
    first = fetch(served, "/api/events?limit=2").json
    second = fetch(served, f"/api/events?limit=2&before={first['next']}").json
    third = fetch(served, f"/api/events?limit=2&before={second['next']}").json
    assert [ids(page) for page in (first, second, third)] == [[5, 4], [3, 2], [1]]
    assert third["next"] is None


def test_polling_by_since_returns_every_event_once(served: Served) -> None:
    received: list[int] = []
    since = "0"
    for _poll in range(4):
        answer = fetch(served, f"/api/events?limit=2&since={since}").json
        received += ids(answer)
        since = answer["next"]
    assert (received, since) == ([1, 2, 3, 4, 5], "5")
    by_time = fetch(served, "/api/events?since=2026-11-23T12:00:00Z").json
    assert ids(by_time) == [4, 5]
    assert ids(fetch(served, "/api/events?since=1&before=4").json) == [2, 3]


def test_without_new_events_the_next_poll_starts_at_the_same_time(served: Served) -> None:
    answer = fetch(served, "/api/events?since=2026-11-25T13:00:00.5%2B01:00").json
    assert answer["events"] == []
    assert answer["next"] == "2026-11-25T12:00:00.500000Z"
    assert fetch(served, f"/api/events?since={answer['next']}").json == answer


@pytest.mark.parametrize(
    "since", ["", "-1", "yesterday", "2026-11-23T15:00:00", "9" * 19, "9" * 5000]
)
def test_an_invalid_since_is_rejected(served: Served, since: str) -> None:
    answer = fetch(served, f"/api/events?since={since}")
    assert answer.status == 400
    assert answer.json["error"]["message"].startswith(
        "since must be the `next` of an earlier response"
    )


def test_the_points_of_a_response_are_limited(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        for number in range(30):
            connection.execute(f"CREATE TABLE t{number:02} (x)")
    with Served(write_config(tmp_path, [("a", path)])) as served:
        eventually(lambda: len(served.json("/api/history?points=1")["series"]) == 30)
        day = "from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z"
        within, beyond = MAX_TOTAL_POINTS // 30, MAX_TOTAL_POINTS // 30 + 1
        series = served.json(f"/api/history?{day}&points={within}")["series"]
        assert sum(len(line["points"]) for line in series) <= MAX_TOTAL_POINTS
        status, body = served.get(f"/api/history?{day}&points={beyond}")
        assert status == 400
        assert f"points must be at most {within} for 30 series" in body
        assert served.get(f"/api/history?{day}&points={beyond}&table=t01")[0] == 200


def test_the_size_of_csv_is_limited(tmp_path: Path) -> None:
    """Each line repeats the names, and an earlier version recorded names of any length."""
    config = write_config(tmp_path, [("a", make_database(tmp_path / "a.db", a=1))])
    with closing(History(settings.load(config).history)):
        pass
    with closing(sqlite3.connect(tmp_path / "history.db")) as connection, connection:
        sql = "INSERT INTO series (database, metric, \"table\") VALUES ('a', 'rows', ?)"
        connection.execute(sql, ("n" * 900_000,))
    day = "from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z"
    with Served(config) as served:
        answer = fetch(served, f"/api/history?{day}&format=csv")
        assert (answer.status, len(answer.body) < MAX_BYTES) == (200, True)
        status, body = served.get(f"/api/history?{day}&format=csv&points=100")
        assert status == 400
        assert "points must be at most 17 for " in body
        assert served.get(f"/api/history?{day}&format=csv&points=100&table=a")[0] == 200


def test_a_response_that_is_too_large_is_replaced_by_an_error(tmp_path: Path) -> None:
    loaded = settings.load(write_config(tmp_path, [("a", tmp_path / "a.db")]))
    with closing(History(loaded.history)) as history:
        app = create_server(loaded, Sampler(loaded, history), datetime.now(UTC))
        app.view_functions["api.db_status"] = lambda: "x" * (MAX_ANSWER_BYTES + 1)
        answer = app.test_client().get("/api/db-status")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert answer.json is not None
    assert answer.json["error"]["code"] == "too_large"


def test_names_in_csv_are_never_formulas(tmp_path: Path) -> None:
    names = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\tx", "\rx", "plain", "1=1")
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        for name in names:
            connection.execute(f'CREATE TABLE "{name}" (x)')
    with Served(write_config(tmp_path, [("a", path)])) as served:
        eventually(lambda: len(served.json("/api/history?points=1")["series"]) == len(names))
        body = fetch(served, "/api/history?format=csv").body.decode()
    rows = list(csv.DictReader(io.StringIO(body, newline="")))
    expected = {name if name in {"plain", "1=1"} else f"'{name}" for name in names}
    assert {row["table"] for row in rows} == expected
    assert {row["value"] for row in rows} <= {"", "0"}


def test_large_events_are_split_over_several_responses(tmp_path: Path) -> None:
    config = write_config(tmp_path, [("a", make_database(tmp_path / "a.db", a=1))])
    with closing(History(settings.load(config).history)):
        pass
    large = json.dumps({"objects": [f"table {number:0100}" for number in range(5000)]})
    with closing(sqlite3.connect(tmp_path / "history.db")) as connection, connection:
        connection.executemany(
            "INSERT INTO event (database, kind, at, before, after)"
            " VALUES ('a', 'schema_changed', ?, ?, ?)",
            [(at, large, '{"objects": []}') for at in EVENTS],
        )
    with Served(config) as served:
        first = served.json("/api/events")
        assert ids(first) == [5, 4, 3]
        assert ids(served.json(f"/api/events?before={first['next']}")) == [2, 1]
        newer = served.json("/api/events?since=0")
        assert ids(newer) == [1, 2, 3]
        assert ids(served.json(f"/api/events?since={newer['next']}")) == [4, 5]
        assert ids(served.json("/api/databases/a")) == [5, 4, 3]
