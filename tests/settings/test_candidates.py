"""Measures that are proposed by the names and types of columns, and by one number per probe."""

import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from dash_app.model.schema import Schema
from dash_app.reader.schema import describe_tables
from dash_app.settings.candidates import candidates
from dash_app.settings.measures import MeasureSettings
from dash_app.system.decoding import decode_parsed

NOW = datetime.now(UTC)
TABLES = """
    CREATE TABLE runs (id INTEGER PRIMARY KEY, status TEXT, priority INTEGER, cost_usd REAL,
        prompt_tokens INTEGER, max_tokens INTEGER, costly BOOLEAN, started_at {type}, run_id TEXT);
    CREATE TABLE [order] (id INTEGER PRIMARY KEY, [order state] TEXT, spend NUMERIC, url TEXT);
    CREATE TABLE mails (id INTEGER PRIMARY KEY, message_id TEXT, uuid TEXT UNIQUE, email TEXT,
        stateBlob BLOB, receivedAt {type}, run_id TEXT REFERENCES runs(run_id), mail_id TEXT);
    CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);
    CREATE VIEW open_runs AS SELECT * FROM runs;
    CREATE VIRTUAL TABLE notes_fts USING fts5 (text, status);
"""
FORMS: dict[str, Callable[[datetime], object]] = {
    "text": lambda time: f"{time:%Y-%m-%d %H:%M:%S}",
    "ISO text": lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ}",
    "seconds": datetime.timestamp,
    "milliseconds": lambda time: int(time.timestamp() * 1000),
}
TYPES = {"text": "DATETIME", "ISO text": "TEXT", "seconds": "REAL", "milliseconds": "INTEGER"}


def connection_with(sql: str) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(sql)
    return connection


def schema_of(connection: sqlite3.Connection) -> Schema:
    connection.text_factory = bytes
    schema = decode_parsed(Schema, describe_tables(connection))
    connection.text_factory = str
    return schema


def proposals(connection: sqlite3.Connection) -> dict[str, MeasureSettings]:
    """The measures that are worth having by the number that the probe finds."""
    chosen = {}
    for candidate in candidates(schema_of(connection)):
        if candidate.kind == "number":
            ((number,),) = connection.execute(candidate.probe)
            text = None if number is None else candidate.toml(number)
            if text:
                assert candidate.name not in chosen
                chosen[candidate.name] = MeasureSettings.model_validate(tomllib.loads(text))
                assert chosen[candidate.name].name == candidate.name
    return chosen


def fill(connection: sqlite3.Connection, form: str) -> None:
    """Thirty rows, of which one is older than a day."""
    for number in range(30):
        time = FORMS[form](NOW - timedelta(days=2 if number == 0 else 0))
        status, key = ("open", "done", None)[number % 3], f"key {number}"
        run = (status, number, 0.5, 7, 1, 1, time, key)
        connection.execute("INSERT INTO runs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", run)
        connection.execute("INSERT INTO [order] VALUES (NULL, ?, 2, ?)", (key, f"url {number % 5}"))
        mail = (key, key, "a@b", b"", time, key, key)
        connection.execute("INSERT INTO mails VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", mail)


@pytest.mark.parametrize("form", FORMS)
def test_each_kind_is_proposed_with_a_query_that_fits(form: str) -> None:
    with closing(connection_with(TABLES.format(type=TYPES[form]))) as connection:
        fill(connection, form)
        found = proposals(connection)
        assert set(found) == {
            *("runs_by_status", "runs_cost_usd_24h", "runs_prompt_tokens_24h", "newest_runs"),
            *("runs_repeated_run_id", "newest_mails", "mails_repeated_mail_id"),
        }
        values = {name: connection.execute(own.sql).fetchall() for name, own in found.items()}
    assert values["runs_by_status"] == [(None, 10), ("done", 10), ("open", 10)]
    assert values["runs_cost_usd_24h"] == [(14.5,)]
    assert values["runs_prompt_tokens_24h"] == [(29 * 7,)]
    assert values["runs_repeated_run_id"] == values["mails_repeated_mail_id"] == [(0,)]
    assert found["runs_cost_usd_24h"].label == "Runs cost in 24 h"
    units = {name: own.unit for name, own in found.items()}
    assert units["newest_runs"] == "age"
    assert units["runs_cost_usd_24h"] == "USD"
    assert units["runs_prompt_tokens_24h"] == "tokens"
    assert found["runs_repeated_run_id"].max == 0


def test_nothing_is_proposed_of_empty_tables() -> None:
    with closing(connection_with(TABLES.format(type="TEXT"))) as connection:
        assert proposals(connection) == {}


def test_a_probe_tells_how_many_values_there_are_and_a_query_which() -> None:
    with closing(
        connection_with("CREATE TABLE t (state TEXT); INSERT INTO t VALUES ('secret')")
    ) as c:
        (candidate,) = candidates(schema_of(c))
        assert c.execute(candidate.probe).fetchall() == [(1,)]
        assert (candidate.toml(1) or "").startswith("# t.state has few different values: 1\n")
        c.executemany("INSERT INTO t VALUES (?)", [(str(number),) for number in range(100)])
        assert c.execute(candidate.probe).fetchall() == [(13,)]
        assert candidate.toml(13) is None


def test_unusual_names_are_quoted_or_left_out() -> None:
    odd = {"a b": {"status": ""}, 'a"b': {"to": "", "status": ""}, "a]b": {"status": ""}}
    odd["a\nb"] = {"status": ""}
    queries = [tomllib.loads(one.toml(1) or "")["sql"] for one in candidates(Schema(odd))]
    groups = "SELECT status, count(*) FROM [{}] GROUP BY status"
    assert queries == [groups.format("a b"), groups.format('a"b')]


def test_without_a_moment_to_read_the_names_of_columns_must_do() -> None:
    schema = Schema({"runs": {"status": "TEXT", "cost": "REAL", "created_at": "INTEGER"}})
    assert [candidate.toml(None) for candidate in candidates(schema)] == [
        (
            "# runs.status has few different values: not counted, since it is being written\n"
            'name = "runs_by_status"\nsql = "SELECT status, count(*) FROM runs GROUP BY status"'
        ),
        None,  # the form of its times is not known
        (
            "# By its name, runs.created_at is the time of a row\n"
            'name = "newest_runs"\nsql = "SELECT max(created_at) FROM runs"\nunit = "age"'
        ),
    ]


def test_a_schema_is_described_without_what_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(connection_with(f"CREATE TABLE t (status TEXT, {'n' * 300} TEXT, a INT)")) as c:
        assert schema_of(c).tables == {"t": {"status": "TEXT", "a": "INT"}}
        monkeypatch.setattr("dash_app.reader.schema.MAX_DESCRIBED", 1)
        assert schema_of(c).tables == {"t": {"status": "TEXT"}}
