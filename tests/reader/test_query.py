"""A measure's query can only read: it is answered, refused or cut, whatever it or a table tries."""

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dash_app.reader import measure, short_reads
from dash_app.reader.protocol import STUCK
from dash_app.reader.query import QueryError, read_values
from dash_app.words.measures import FAILURES
from tests.airlock_helpers import FileEvents, file_states
from tests.harness import LiveWriter, eventually, make_database
from tests.measuring import ask, request

SCHEMA = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, json TEXT, upper AS (upper(text)));
    INSERT INTO notes (text, json) VALUES
        ('SECRET', '{"a": 1}'), ('* SECRET', '[]'), (x'ff53', 9e999), ('SECRET', 'SECRET');
    CREATE VIRTUAL TABLE found USING fts5(text);
    INSERT INTO found VALUES ('one word');
    CREATE VIRTUAL TABLE stale USING fts5(text, content = notes, content_rowid = id);
    INSERT INTO stale (rowid, text) VALUES (9, 'deleted');
    CREATE VIRTUAL TABLE area USING rtree(id, low, high);
    INSERT INTO area VALUES (1, 0, 2);
    CREATE TABLE graph_node (a);
    CREATE TABLE runs (id INTEGER PRIMARY KEY, note REFERENCES notes);
    INSERT INTO runs (note) VALUES (1), (7), (NULL);
    CREATE VIEW json_view AS SELECT json_extract(json, '$.a') FROM notes WHERE json_valid(json);
    CREATE VIEW found_view AS SELECT * FROM found WHERE found MATCH 'word';
    CREATE VIEW loads AS SELECT load_extension('evil');
    CREATE VIEW v0 AS SELECT 1 AS a;
    CREATE TRIGGER emptied INSTEAD OF INSERT ON v0 BEGIN DELETE FROM notes; END;
"""
BOMB = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n{}) SELECT "
JOIN = ", ".join(f"notes n{number}" for number in range(20))
BIG = "replace(printf('%.*c', 900, 'x'), 'x', printf('%.*c', {}, 'x'))"
VALUES = {
    "SELECT count(*) FROM notes": [[None, 4]],
    "SELECT text, count(*) FROM notes GROUP BY text": [
        ["* SECRET", 1],
        ["SECRET", 2],
        ["\ufffdS", 1],
    ],
    "SELECT count(*) FROM found WHERE found MATCH 'word'": [[None, 1]],
    "SELECT count(*), sum(high) FROM area WHERE high > 1 GROUP BY id": [["1", 2.0]],
    "SELECT sum(value) FROM json_each('[1, 2.5]')": [[None, 3.5]],
    "SELECT count(*) FROM json_view": [[None, 2]],
    "SELECT count(*) FROM found_view": [[None, 1]],
    "SELECT count(upper) FROM notes": [[None, 4]],
    "SELECT NULL": [[None, None]],
    "SELECT 1 WHERE 0": [],
    "SELECT 'a', NULL": [["a", None]],
    "SELECT NULL, 1": [["(none)", 1]],
    "SELECT '', 1": [["(empty)", 1]],
    "SELECT 'a' || char(10, 0, 8238) || 'b', 1": [["a b", 1]],
    f"SELECT {BIG.format(9)}, 1": [["x" * 60, 1]],
    "SELECT 9223372036854775807": [[None, 2**63 - 1]],
    "SELECT 9e999 - 9e999": [[None, None]],
    BOMB.format(" LIMIT 999") + "i, i FROM n": [[str(n), n] for n in range(1, 1000)],
}
"""Answers, by the query."""

FAILED = {
    "DELETE FROM notes": "refused",
    "WITH n AS (SELECT 1) INSERT INTO notes (text) SELECT * FROM n RETURNING id": "refused",
    "INSERT INTO v0 VALUES (1)": "refused",
    "UPDATE notes SET text = 1": "refused",
    "UPDATE sqlite_schema SET sql = ''": "sql",
    "DROP TABLE notes": "refused",
    "CREATE TEMP TABLE more (a)": "refused",
    "CREATE VIRTUAL TABLE more USING fts5(a)": "refused",
    "INSERT INTO found (found) VALUES ('optimize')": "refused",
    "INSERT INTO area VALUES (2, 0, 1)": "refused",
    "DELETE FROM area_node": "sql",
    "INSERT INTO graph_node VALUES (1)": "sql",
    "ATTACH 'other.db' AS other": "refused",
    "VACUUM": "refused",
    "VACUUM INTO 'copy.db'": "refused",
    "ANALYZE": "refused",
    "REINDEX": "refused",
    "BEGIN": "refused",
    "SAVEPOINT a": "refused",
    "PRAGMA user_version": "refused",
    "PRAGMA writable_schema = 1": "refused",
    "PRAGMA foreign_key_check": "refused",
    "SELECT count(*) FROM pragma_table_info('notes')": "refused",
    "SELECT load_extension('evil')": "refused",
    "SELECT fts3_tokenizer('simple', x'00')": "refused",
    "SELECT randomblob(900000000)": "refused",
    "SELECT * FROM loads": "sql",
    "SELECT 1; DELETE FROM notes": "sql",
    "SELECT ?": "sql",
    "SELECT": "sql",
    "SELECT 1 FROM missing": "sql",
    "SELECT readfile('/etc/passwd')": "sql",
    "SELECT json_extract('{}', text) FROM notes": "sql",
    "SELECT count(*) FROM found WHERE found MATCH (SELECT text || ':a' FROM notes)": "sql",
    "SELECT count(*) FROM found WHERE found MATCH (SELECT text FROM notes WHERE id = 2)": "sql",
    "SELECT count(*) FROM found WHERE found MATCH (SELECT '\"' || text FROM notes)": "sql",
    "SELECT count(text) FROM stale WHERE stale MATCH 'deleted'": "virtual_table",
    f"SELECT hex({BIG.format(44_000)})": "sql",
    f"SELECT {BIG.format(66_000)}": "memory",
    "-- nothing": "columns",
    "SELECT 1, 2, 3": "columns",
    "EXPLAIN SELECT 1": "columns",
    "VALUES (1), (2)": "rows",
    "SELECT 'a', 1 UNION ALL SELECT 'a', 2": "label_twice",
    BOMB.format("") + "i, i FROM n": "labels",
    BOMB.format("") + "count(*) FROM n": "slow",
    f"{BOMB.format('')} i || {BIG.format(22_000)}, i FROM n": "slow",
    f"SELECT count(*) FROM {JOIN}": "slow",
    "SELECT text FROM notes LIMIT 1": "not_a_number",
    "SELECT x'00'": "not_a_number",
    "SELECT 9e999": "not_a_number",
}
"""Codes of failures, by the query."""

DEEP = "SELECT " + "(" * 5000 + "1" + ")" * 5000
"""SQLite's parser has a stack of its own, which grows since 3.46."""

JSON_PATH = "bad JSON path" if sqlite3.sqlite_version_info >= (3, 45) else "JSON path error near"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quiet database whose schema is as hostile as its queries."""
    path = tmp_path_factory.mktemp("hostile") / "hostile.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return path


def test_a_query_is_answered_refused_or_cut(hostile: Path) -> None:
    """Nothing is written, and no content of a row gets out except as a label."""
    before = file_states(hostile.parent)
    with FileEvents(hostile.parent) as events:
        answers, code = ask(request(hostile, sql) for sql in [*FAILED, *VALUES, DEEP])
        assert {what for what, _ in events.take()} <= {"opened"}
    assert file_states(hostile.parent) == before
    assert code == 0
    assert {sql: answers[sql].get("error") for sql in FAILED} == FAILED
    assert {sql: answers[sql].get("values") for sql in VALUES} == VALUES
    assert answers[DEEP].get("values", [[None, 1]]) == [[None, 1]]
    assert "SECRET" not in str([answers[sql] for sql in FAILED])
    assert set(FAILED.values()) <= FAILURES.keys()


def test_messages_name_what_helps(hostile: Path) -> None:
    sqls = {
        "SELECT 1 FROM missing": ("text", "no such table: missing"),
        "SELECT text FRM notes": ("text", 'near "notes": syntax error'),
        "SELECT json_extract('{}', text) FROM notes": ("text", JSON_PATH),
        "SELECT oops FROM notes": (
            "tables",
            "area, found, found_view, graph_node, json_view, loads, notes, runs, stale, v0",
        ),
        "DELETE FROM notes": ("what", "DELETE"),
        "SELECT load_extension('x')": ("what", "the function load_extension()"),
        f"SELECT count(*) FROM runs AS r, {JOIN}": ("scans", "notes, runs"),
    }
    answers, _ = ask(request(hostile, sql) for sql in sqls)
    for sql, (name, text) in sqls.items():
        assert answers[sql]["detail"][name] == text


def test_kinds_of_measures(hostile: Path) -> None:
    every_row = BOMB.format("") + "* FROM n"
    today = "SELECT count(*) FROM notes WHERE date('now') > '2020'"
    answers, _ = ask(
        [
            request(hostile, "SELECT * FROM notes", "no_rows"),
            request(hostile, every_row, "no_rows"),
            request(hostile, "", "foreign_keys"),
            request(hostile, today),
        ]
    )
    assert {sql: (answer["values"], answer["uses_time"]) for sql, answer in answers.items()} == {
        "SELECT * FROM notes": ([[None, 4]], False),
        every_row: ([[None, 1000]], False),
        "": ([[None, 1]], False),
        today: ([[None, 4]], True),
    }


def test_a_query_that_cannot_be_interrupted_ends_the_process(tmp_path: Path) -> None:
    """One call of LIKE compares 40,000 letters at each of a million places."""
    path = make_database(tmp_path / "a.db")
    like = "printf('%.*c', 1000000, 'a') LIKE '%' || printf('%.*c', 40000, 'a') || 'b'"
    requests = [request(path, "SELECT 1"), request(path, f"SELECT {like}")]
    answers, code = ask(requests, stuck_seconds=0.05)
    assert ([*answers], code) == (["SELECT 1"], STUCK)


def test_beside_a_writer_a_query_has_40_ms(hostile: Path) -> None:
    with LiveWriter(hostile) as writer:
        fast, slow = "SELECT count(*) FROM runs", BOMB.format("") + "count(*) FROM n"

        def is_answered() -> bool:
            """Whether the machine let a query run within its time, less than 2 s after a write."""
            writer.do("UPDATE runs SET note = 1")
            answers, _ = ask([request(hostile, fast), request(hostile, slow)])
            is_fast = answers[fast].get("values") == [[None, 3]]
            return bool(is_fast and answers[slow]["detail"]["ms"] == "40")

        eventually(is_answered)
        writer.close()


PAST = datetime(2026, 11, 1, 12, 34, 56, tzinfo=UTC)
SECONDS = PAST.timestamp()
JULIAN = SECONDS / 86_400 + 2_440_587.5


@pytest.mark.parametrize(
    "value",
    [
        f"'{PAST:%Y-%m-%d %H:%M:%S}'",
        f"'{PAST:%Y-%m-%dT%H:%M:%S.000000000}Z'",
        f"'{PAST.astimezone(timezone(timedelta(hours=2))):%Y-%m-%d %H:%M:%S}+02:00'",
        *(SECONDS, f"{SECONDS:.0f}", f"'{SECONDS:.0f}'", f"'{SECONDS}'"),
        *(f"{SECONDS * 1000:.0f}", f"'{SECONDS * 1000:.0f}'"),
        *(f"{JULIAN:.9f}", f"'{JULIAN:.9f}'"),
    ],
)
def test_a_time_has_any_usual_form(value: str) -> None:
    ((label, seconds),) = _values(f"SELECT {value}")
    assert label is None
    assert seconds == pytest.approx(SECONDS, abs=0.01)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (f"{SECONDS * 1e6:.0f}", "time_unit"),
        (f"{SECONDS * 1e9:.0f}", "time_unit"),
        ("'2200-01-01'", "future"),
        ("7258118400", "future"),
        *((value, "not_a_time") for value in ("0", "-1", "20", "'soon'", "''", "x'ff'", "9e999")),
        ("'58223-01-01'", "not_a_time"),
    ],
)
def test_a_wrong_time_is_an_error(value: str, code: str) -> None:
    with pytest.raises(QueryError) as failure:
        _values(f"SELECT {value}")
    assert failure.value.code == code
    assert FAILURES[code].format_map(failure.value.detail)


def _values(sql: str) -> list[tuple[str | None, float | None]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        return read_values(connection.execute(sql), is_age=True)


def test_what_is_left_after_a_turn_of_the_processor_has_no_answer(hostile: Path) -> None:
    assert ask([request(hostile, "SELECT 1")], turn_seconds=0.0) == ({}, 0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let this process ask for a measure although the file was written a moment ago."""
    monkeypatch.setattr(measure, "ATTEMPTS", 1000)
    monkeypatch.setattr(short_reads, "LOWEST_PRIORITY", 0)
    return monkeypatch


def test_a_query_that_meets_damage_is_asked_again(
    tmp_path: Path, patient: pytest.MonkeyPatch
) -> None:
    """A file may be half of a copy in progress."""
    path = make_database(tmp_path / "a.db", notes=3)
    whole = path.read_bytes()
    half = whole[:4096] + bytes(len(whole) - 4096)
    rests: list[dict[str, Any]] = []

    def finish_copy(message: dict[str, Any]) -> None:
        rests.append(message)
        path.write_bytes(whole)

    patient.setattr(measure, "CONFIRM_SECONDS", 0.01)
    count = request(path, "SELECT count(*) FROM notes")
    for send, answer in (
        (finish_copy, ("values", [(None, 3)])),
        (rests.append, ("error", "damaged")),
    ):
        path.write_bytes(half)
        patient.setattr(measure, "send", send)
        assert (
            answer in measure.MeasureRun({"measures": []}, writes_denied=False)._ask(count).items()
        )
    assert rests


def test_a_query_that_the_machine_does_not_let_run_is_not_called_slow(
    tmp_path: Path, patient: pytest.MonkeyPatch
) -> None:
    def sleep(connection: sqlite3.Connection, **_: object) -> None:
        connection.create_function("pause", 0, lambda: time.sleep(0.01))
        endless = "SELECT pause() UNION ALL SELECT pause() FROM n"
        connection.execute(f"WITH RECURSIVE n(i) AS ({endless}) SELECT count(*) FROM n").fetchall()

    for module in (measure, short_reads):
        patient.setattr(module, "STILL_SECONDS", 0.3)
    patient.setattr(measure, "_measure", sleep)
    asked = request(make_database(tmp_path / "a.db", notes=3), "SELECT 1")
    run = measure.MeasureRun({"measures": []}, writes_denied=False)
    assert run._ask(asked) == {"error": "busy", "detail": {"ms": "300"}}
