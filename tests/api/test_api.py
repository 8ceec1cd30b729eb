"""The JSON routes of a running service."""

import csv
import io
import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.harness import (
    PATIENCE_SECONDS,
    LiveWriter,
    Served,
    eventually,
    make_database,
    write_config,
)
from tests.measuring import ANY_SHARE, ASKED_AT_EACH_CHANGE

KEYS = {
    "name": str,
    "label": str,
    "path": str,
    "status": str,
    "since": str,
    "level": str,
    "verdict": str,
    "error": dict | None,
    "findings": list,
    "integrity": dict | None,
    "watch": dict | None,
    "measures": list,
    "lastGood": dict | None,
    "rowCounts": dict,
    "totalRows": int | None,
    "totalComplete": bool,
    "acknowledged": dict | None,
    "change": dict | None,
    "estimates": dict,
    "tableErrors": dict,
    "lastModified": str | None,
    "sizeBytes": int | None,
    "walBytes": int | None,
    "journalMode": str | None,
    "readAt": str,
    "verifiedAt": str,
    "waitingFor": dict | None,
}
MEASURES = """
[[databases.measures]]
name = "newest"
sql = "SELECT 1700000000 FROM messages LIMIT 1"
unit = "age"
every = "10s"
[[databases.measures]]
name = "by_id"
sql = "SELECT id, length(text) FROM messages"
[[databases.measures]]
name = "unread"
sql = "SELECT count(*) FROM messages"
max = 9
pinned = true
"""
TIMES = ("since", "lastModified", "readAt", "verifiedAt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with LiveWriter(make_database(folder / "email.db", messages=3, drafts=0)) as writer:
        writer.do("INSERT INTO messages (text) VALUES ('x')")
        broken = folder / "broken.db"
        broken.write_text("hello " * 100)
        paths = {"email": folder / "email.db", "late": folder / "late.db", "broken": broken}
        config = write_config(folder, paths.items(), measures=ANY_SHARE)
        # After the path of email, the first database.
        first, *rest = config.read_text().split('[[databases]]\nname = "late"')
        config.write_text('[[databases]]\nname = "late"'.join([first + MEASURES, *rest]))
        with Served(config, patch=ASKED_AT_EACH_CHANGE) as served:
            yield served


def headers_of(served: Served, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(served.url + path, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        return response.status, dict(response.headers), response.read()


def is_utc_with_milliseconds(text: str) -> bool:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").tzinfo == UTC and text.endswith("Z")


def test_db_status_has_the_documented_keys_and_types(served: Served) -> None:
    document = served.json("/api/db-status")
    keys = {"takenAt", "connected", "total", "level", "headline", "databases", "patterns"}
    assert set(document) == keys
    assert (document["connected"], document["total"]) == (1, 3)
    assert document["level"] == "fault"
    assert document["headline"].startswith("Broken can't be read, ")
    assert is_utc_with_milliseconds(document["takenAt"])
    names = [database["name"] for database in document["databases"]]
    assert names == ["email", "late", "broken"]
    for database in document["databases"]:
        assert set(database) == set(KEYS)
        for key, kind in KEYS.items():
            assert isinstance(database[key], kind), key
        times = [database[key] for key in TIMES]
        assert all(time is None or is_utc_with_milliseconds(time) for time in times)


def test_a_connected_database_has_rows_sizes_and_journal_mode(served: Served, folder: Path) -> None:
    email = served.database("email")
    assert (email["status"], email["level"], email["error"]) == ("connected", "well", None)
    assert email["rowCounts"] == {"messages": 4, "drafts": 0}
    assert (email["totalRows"], email["totalComplete"]) == (4, True)
    assert email["verdict"] == "4 rows in 2 tables."
    assert email["sizeBytes"] == (folder / "email.db").stat().st_size
    assert email["walBytes"] == (folder / "email.db-wal").stat().st_size
    assert email["journalMode"] == "wal"


def test_unknown_values_are_null_not_0(served: Served) -> None:
    late, broken = served.database("late"), served.database("broken")
    assert (late["status"], late["error"]["code"]) == ("not_initialized", "file_missing")
    assert (broken["status"], broken["error"]["code"]) == ("error", "not_a_database")
    for database in (late, broken):
        assert (database["rowCounts"], database["totalRows"]) == ({}, None)
        assert database["lastGood"] is None
        assert set(database["error"]) == {"code", "message", "remedy"}


def test_the_age_header_has_the_age_of_the_facts(served: Served) -> None:
    _, headers, _ = headers_of(served, "/api/db-status")
    assert 0 <= int(headers["Age"]) <= 3


def test_measures_have_their_values_and_a_growing_age_changes_no_etag(served: Served) -> None:
    found: dict[str, Any] = {}

    def are_current() -> bool:
        found.update(served.json("/api/measures"))
        taken_at = datetime.fromisoformat(found["takenAt"]).timestamp()
        age = found["measures"][0]["value"]  # it stands still while an answer is awaited
        return all(one["measuredAt"] for one in found["measures"]) and age == pytest.approx(
            taken_at - 1_700_000_000, abs=0.01
        )

    eventually(are_current)
    _newest, by_id, unread = found["measures"]
    assert [measure["database"] for measure in found["measures"]] == ["email"] * 3
    assert by_id["value"] is None
    assert by_id["values"] == [{"label": str(id_), "value": 5} for id_ in (1, 2, 3)] + [
        {"label": "4", "value": 1}
    ]
    assert (unread["value"], unread["level"], unread["error"]) == (4, "well", None)

    def are_the_same_everywhere() -> bool:
        """Whether all documents have them, unless they were asked again meanwhile."""
        both = served.json("/api/measures")["measures"][1:]
        email = served.database("email")["measures"][1:]
        named = served.json("/api/measures?database=late&database=email")["measures"][1:]
        of_email = [{**measure, "database": "email"} for measure in email]
        return bool(named == both == of_email)

    eventually(are_the_same_everywhere)
    assert served.json("/api/measures?database=late")["measures"] == []
    assert served.get("/api/measures?database=none")[0] == 400

    def is_same_etag_of_another_age() -> bool:
        """Ask twice: there is another ETag once a measure was asked again."""
        (_, first, body), (_, then, later) = (headers_of(served, "/api/measures") for _ in "12")
        return first["Etag"] == then["Etag"] and body != later

    eventually(is_same_etag_of_another_age)


def history(served: Served, query: str = "") -> list[dict[str, Any]]:
    series: list[dict[str, Any]] = served.json(f"/api/history{query}")["series"]
    return series


def test_history_has_one_series_per_table_with_its_unit(served: Served) -> None:
    lines = history(served, "?points=10")
    assert [(line["database"], line["table"]) for line in lines] == [
        ("email", "drafts"),
        ("email", "messages"),
    ]
    assert {(line["metric"], line["unit"]) for line in lines} == {("rows", "rows")}
    assert len(lines[1]["points"]) <= 11


def test_history_is_null_before_the_first_record(served: Served) -> None:
    points = history(served, "?table=messages")[0]["points"]
    assert points[-1][1] == 4
    assert points[0][1] is None
    assert all(datetime.fromisoformat(at).tzinfo == UTC for at, _ in points)


def test_history_has_sizes_of_a_whole_database(served: Served) -> None:
    (line,) = history(served, "?metric=size_bytes&database=email")
    assert (line["table"], line["unit"]) == (None, "bytes")


def test_history_can_be_csv(served: Served) -> None:
    _, headers, body = headers_of(served, "/api/history?format=csv&table=messages&points=5")
    assert headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert {row["table"] for row in rows} == {"messages"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("database=nope", "database must be one of email, late, broken"),
        ("metric=nope", "metric must be one of rows, inserted, size_bytes, wal_bytes"),
        ("format=xml", "format must be one of json, csv"),
        ("points=0", "points must be a whole number from 1 to 5000"),
        ("points=1e3", "points must be a whole number"),
        ("points=9999999999", "points must be a whole number"),
        ("from=yesterday", "from must be a time with its zone"),
        ("from=2026-11-23T15:00:00", "from must be a time with its zone"),
        ("from=2026-11-23T15:00:00Z&to=2026-11-23T14:00:00Z", "from must be before to"),
        ("form=json", "There is no parameter form"),
    ],
)
def test_a_bad_parameter_is_named_with_what_is_allowed(
    served: Served, query: str, message: str
) -> None:
    status, body = served.get(f"/api/history?{query}")
    assert status == 400
    error = json.loads(body)["error"]
    assert error["code"] == "bad_parameter"
    assert message in error["message"]


@pytest.mark.parametrize("path", ["/api/nope", "/api/", "/api/db-status/x", "/api"])
def test_an_unknown_route_under_api_is_404_in_json(served: Served, path: str) -> None:
    status, body = served.get(path)
    assert status == 404
    assert json.loads(body)["error"]["code"] == "not_found"


def test_head_is_get_without_a_body(served: Served) -> None:
    status, headers, body = headers_of(served, "/api/db-status", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/", "/api/db-status", "/health", "/assets/page.css"])
def test_every_response_has_the_security_headers(served: Served, path: str) -> None:
    _, headers, _ = headers_of(served, path)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe-eval" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers


def test_an_unreadable_history_has_its_own_error_code(tmp_path: Path) -> None:
    database = make_database(tmp_path / "a.db", rows=1)
    with Served(write_config(tmp_path, [("a", database)])) as served:

        def is_reported() -> bool:
            """Whether it is, before the next tick makes a new history."""
            for side in ("", "-wal", "-shm"):
                (tmp_path / f"history.db{side}").unlink(missing_ok=True)
            status, body = served.get("/api/history")
            return status == 503 and json.loads(body)["error"]["code"] == "history_unavailable"

        eventually(is_reported)
        assert served.database("a")["totalRows"] == 1
