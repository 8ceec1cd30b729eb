"""Measures that are proposed by the names and types of columns, and by one number per probe."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from dash_app.model.schema import Schema
from dash_app.reader.schema import describe_tables
from dash_app.rules.suggestions import MAX_CANDIDATES, Candidate, candidates
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


def proposals(connection: sqlite3.Connection, *without: str) -> dict[str, tuple[Candidate, str]]:
    """The candidates whose probe finds a number that has a query, with that query."""
    chosen = {}
    for candidate in candidates(schema_of(connection), without):
        ((number,),) = connection.execute(candidate.probe)
        if number in candidate.queries:
            assert candidate.name not in chosen
            chosen[candidate.name] = candidate, candidate.queries[number]
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
        values = {name: connection.execute(sql).fetchall() for name, (_, sql) in found.items()}
    assert values["runs_by_status"] == [(None, 10), ("done", 10), ("open", 10)]
    assert values["runs_cost_usd_24h"] == [(14.5,)]
    assert values["runs_prompt_tokens_24h"] == [(29 * 7,)]
    assert values["runs_repeated_run_id"] == values["mails_repeated_mail_id"] == [(0,)]
    assert found["newest_runs"][0].settings == {"unit": "age"}
    assert found["runs_cost_usd_24h"][0].settings["unit"] == "USD"
    assert found["runs_prompt_tokens_24h"][0].settings["unit"] == "tokens"
    assert found["runs_repeated_run_id"][0].settings["max"] == 0


def test_nothing_is_proposed_without_rows_and_nothing_of_a_table_that_is_left_out() -> None:
    with closing(connection_with(TABLES.format(type="TEXT"))) as connection:
        assert proposals(connection) == {}
        fill(connection, "text")
        assert {name.split("_")[0] for name in proposals(connection, "runs")} == {"newest", "mails"}


def test_a_probe_tells_how_many_values_there_are_and_a_query_which() -> None:
    with closing(
        connection_with("CREATE TABLE t (state TEXT); INSERT INTO t VALUES ('secret')")
    ) as c:
        (candidate,) = candidates(schema_of(c), ())
        assert c.execute(candidate.probe).fetchall() == [(1,)]
        c.executemany("INSERT INTO t VALUES (?)", [(str(number),) for number in range(100)])
        assert c.execute(candidate.probe).fetchall() == [(13,)]
        assert 13 not in candidate.queries


def test_unusual_names_are_quoted_or_left_out_and_the_number_is_limited() -> None:
    odd = {"a b": {"status": ""}, 'a"b': {"to": "", "status": ""}, "a]b": {"status": ""}}
    many = {f"t{number}": {"status": "TEXT"} for number in range(100)}
    (first, second) = candidates(Schema(odd), ())
    assert first.queries[1] == "SELECT status, count(*) FROM [a b] GROUP BY status"
    assert second.queries[1] == 'SELECT status, count(*) FROM [a"b] GROUP BY status'
    assert len(candidates(Schema(many), ())) == MAX_CANDIDATES
