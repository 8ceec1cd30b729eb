"""Failures that people reported, each found at the next interval by a measure of one query."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.measuring import Measures, database_of


@dataclass(frozen=True)
class Reported:
    """A failure: where it was reported, a sound database, what went wrong, and the measure.

    The measure is by default the number of foreign keys without a parent.
    """

    source: str
    sound: str
    wrong: str
    measure: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    """What its sentence says."""


MEMORIES = """
    CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT);
    CREATE TABLE memory_embeddings (memory_id INTEGER PRIMARY KEY, vector BLOB);
    INSERT INTO memories (content) VALUES ('tea'), ('milk');
    INSERT INTO memory_embeddings VALUES (1, x'3f80'), (2, x'3f00');
"""
RUNS = """
    CREATE TABLE runs (id INTEGER PRIMARY KEY, job TEXT, status TEXT, calls INTEGER, at TEXT);
    INSERT INTO runs (job, status, calls, at) VALUES
        ('mail', 'ok', 3, datetime('now', '-1 hour')), ('news', 'ok', 4, datetime('now'));
"""
QUEUE = """
    CREATE TABLE queue (id INTEGER PRIMARY KEY, agent TEXT, state TEXT, claimed_at REAL);
    INSERT INTO queue (agent, state) VALUES ('web', 'queued'), ('ops', 'queued');
"""
FAILURES = [
    Reported(
        "github.com/openclaw/openclaw/issues/118734: violations for three weeks, no message",
        "CREATE TABLE sessions (id INTEGER PRIMARY KEY);"
        "CREATE TABLE events (id INTEGER PRIMARY KEY, session REFERENCES sessions);"
        "INSERT INTO sessions VALUES (1), (2); INSERT INTO events (session) VALUES (1), (2), (2);",
        "DELETE FROM sessions WHERE id = 2",
        text="2, none allowed",
    ),
    Reported(
        "github.com/thedotmack/claude-mem/issues/3502: a parent's key was set to null",
        "CREATE TABLE sessions (id INTEGER PRIMARY KEY, memory TEXT UNIQUE);"
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, memory REFERENCES sessions (memory));"
        "INSERT INTO sessions VALUES (1, 'a'); INSERT INTO notes (memory) VALUES ('a');",
        "UPDATE sessions SET memory = NULL",
        text="1, none allowed",
    ),
    Reported(
        "github.com/jellyfin/jellyfin/issues/18080: orphans after a table was rebuilt",
        "CREATE TABLE items (id TEXT PRIMARY KEY); CREATE TABLE images (item TEXT);"
        "INSERT INTO items VALUES ('a'), ('b'); INSERT INTO images VALUES ('a'), ('b');",
        "DELETE FROM items WHERE id = 'b'",
        {"sql": "SELECT * FROM images WHERE item NOT IN (SELECT id FROM items)", "no_rows": True},
    ),
    Reported(
        "github.com/openclaw/openclaw/issues/86451: 28 jobs became 74",
        "CREATE TABLE jobs (id INTEGER PRIMARY KEY, name TEXT);"
        "INSERT INTO jobs (name) VALUES ('mail'), ('news');",
        "INSERT INTO jobs (name) SELECT name FROM jobs",
        {"sql": "SELECT name FROM jobs GROUP BY name HAVING count(*) > 1", "no_rows": True},
    ),
    Reported(
        "github.com/doobidoo/mcp-memory-service/issues/1225: memories without an embedding",
        MEMORIES,
        "INSERT INTO memories (content) VALUES ('honey')",
        {
            "sql": "SELECT count(*) FROM memories LEFT JOIN memory_embeddings"
            " ON memory_id = id WHERE memory_id IS NULL",
            "max": 0,
        },
    ),
    Reported(
        "github.com/UpayanGhosh/Synapse-OSS/issues/46: zero vectors, marked as processed",
        MEMORIES,
        "INSERT INTO memory_embeddings VALUES (3, x'0000000000000000')",
        {
            "sql": "SELECT memory_id FROM memory_embeddings WHERE trim(hex(vector), '0') = ''",
            "no_rows": True,
        },
    ),
    Reported(
        "github.com/codecoradev/uteke/issues/621: 17,755 memories and 17,055 vectors",
        MEMORIES,
        "DELETE FROM memory_embeddings WHERE memory_id = 1",
        {
            "sql": "SELECT (SELECT count(*) FROM memories)"
            " - (SELECT count(*) FROM memory_embeddings)",
            "equals": 0,
        },
    ),
    Reported(
        "github.com/Yeraze/meshmonitor/issues/2573: messages of the year 58223",
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, at INTEGER);"
        "INSERT INTO messages (at) VALUES (unixepoch() * 1000);",
        "INSERT INTO messages (at) VALUES (unixepoch() * 1000000)",
        {"sql": "SELECT max(at) FROM messages", "unit": "age"},
        "microseconds",
    ),
    Reported(
        "github.com/CortexReach/memory-lancedb-pro/issues/689: seconds among milliseconds",
        "CREATE TABLE sessions (id INTEGER PRIMARY KEY, created_at INTEGER);"
        "INSERT INTO sessions (created_at) VALUES (unixepoch() * 1000);",
        "INSERT INTO sessions (created_at) VALUES (unixepoch())",
        {"sql": "SELECT min(created_at) FROM sessions", "min": 1e11},
    ),
    Reported(
        "github.com/snarktank/antfarm/pull/57: every step abandoned at once",
        "CREATE TABLE steps (id INTEGER PRIMARY KEY, status TEXT);"
        "INSERT INTO steps (status) VALUES ('done'), ('done'), ('running'), ('failed');",
        "UPDATE steps SET status = 'failed' WHERE status = 'running'",
        {"sql": "SELECT 100.0 * sum(status = 'failed') / count(*) FROM steps", "unit": "%"}
        | {"max": 30},
        "50%",
    ),
    Reported(
        "github.com/CoreBunch/Instatic/pull/529: two forms of time in one column",
        "CREATE TABLE entries (id INTEGER PRIMARY KEY, updated_at TEXT);"
        "INSERT INTO entries (updated_at) VALUES ('2026-09-11T18:00:00.000Z');",
        "INSERT INTO entries (updated_at) VALUES (datetime('now'))",
        {"sql": "SELECT count(DISTINCT substr(updated_at, 11, 1)) FROM entries", "max": 1},
    ),
    Reported(
        "github.com/NousResearch/hermes-agent/issues/83993: ok, and never delivered",
        "CREATE TABLE jobs (id INTEGER PRIMARY KEY, last_status TEXT, last_delivery_error TEXT);"
        "INSERT INTO jobs (last_status) VALUES ('ok'), ('ok');",
        "UPDATE jobs SET last_delivery_error = 'not configured' WHERE id = 2",
        {
            "sql": "SELECT id FROM jobs WHERE last_status = 'ok' AND last_delivery_error <> ''",
            "no_rows": True,
        },
    ),
    Reported(
        "github.com/NousResearch/hermes-agent/issues/93820: complete, with no call at all",
        RUNS,
        "INSERT INTO runs (job, status, calls, at) VALUES ('mail', 'ok', 0, datetime('now'))",
        {"sql": "SELECT job, min(calls) FROM runs GROUP BY job", "min": 1},
        "mail",
    ),
    Reported(
        "github.com/NousResearch/hermes-agent/issues/68800: no delivery in a day",
        RUNS,
        "DELETE FROM runs WHERE at < datetime('now', '-10 minutes')",
        {
            "sql": "SELECT count(*) FROM runs WHERE job = 'mail'"
            " AND at > datetime('now', '-1 day')",
            "min": 1,
        },
    ),
    Reported(
        "github.com/NousResearch/hermes-agent/issues/99479: dead for five days",
        RUNS,
        "UPDATE runs SET at = datetime(at, '-5 days')",
        {"sql": "SELECT max(at) FROM runs", "unit": "age", "max": 86_400},
    ),
    Reported(
        "github.com/paperclipai/paperclip/issues/8947: the table of costs stood still",
        "CREATE TABLE costs (id INTEGER PRIMARY KEY, cents INTEGER, at INTEGER);"
        "INSERT INTO costs (cents, at) VALUES (7, unixepoch() * 1000);",
        "UPDATE costs SET at = at - 2 * 86400000",
        {"sql": "SELECT max(at) FROM costs", "unit": "age", "max": 86_400},
    ),
    Reported(
        "github.com/paperclipai/paperclip/pull/386: agents spend, their company does not",
        "CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT, cents INTEGER);"
        "CREATE TABLE agents (id INTEGER PRIMARY KEY, company INTEGER, cents INTEGER);"
        "INSERT INTO companies VALUES (1, 'Acme', 117); INSERT INTO agents VALUES (1, 1, 117);",
        "UPDATE agents SET cents = cents + 41",
        {
            "sql": "SELECT name, companies.cents - sum(agents.cents)"
            " FROM companies JOIN agents ON company = companies.id GROUP BY name",
            "equals": 0,
        },
        "Acme",
    ),
    Reported(
        "github.com/grandamenium/cortextos/issues/579: a heartbeat is no evidence of work",
        "CREATE TABLE beats (at TEXT); CREATE TABLE tasks (finished_at TEXT);"
        "INSERT INTO beats VALUES (datetime('now')); INSERT INTO tasks VALUES (datetime('now'));",
        "UPDATE tasks SET finished_at = julianday('now') - 3",
        {"sql": "SELECT max(finished_at) FROM tasks", "unit": "age", "max": 86_400},
    ),
    Reported(
        "github.com/volcengine/OpenViking/issues/4303: rows claimed by a process that crashed",
        QUEUE,
        "UPDATE queue SET state = 'processing', claimed_at = unixepoch() - 7200 WHERE id = 1",
        {"sql": "SELECT min(claimed_at) FROM queue WHERE state = 'processing'", "unit": "age"}
        | {"max": 3600},
    ),
    Reported(
        "github.com/holon-run/holon/issues/1851: 49 messages wait for one agent",
        QUEUE,
        "INSERT INTO queue (agent, state) SELECT 'web', 'queued' FROM json_each('"
        + str([1] * 48)
        + "')",
        {"sql": "SELECT agent, count(*) FROM queue WHERE state = 'queued' GROUP BY agent"}
        | {"max": 20},
        "web 49",
    ),
]


@pytest.fixture(scope="module")
def measures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measures]:
    """The measures of all failures, asked for once."""
    folder = tmp_path_factory.mktemp("reported")
    databases = []
    for number, failure in enumerate(FAILURES):
        path = folder / f"{number}.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"PRAGMA synchronous = OFF; BEGIN; {failure.sound} COMMIT")
        given = [{"name": "m", **failure.measure}] if failure.measure else []
        databases.append(database_of(path, *given, foreign_keys=not given))
    asked = Measures(databases)
    asked.round()
    yield asked
    asked.measurer.close()


def test_what_people_reported_is_found_at_the_next_interval(measures: Measures) -> None:
    assert [measures.problems(database) for database in measures.databases] == [[]] * 20
    for failure, database in zip(FAILURES, measures.databases, strict=True):
        with closing(sqlite3.connect(database.path, isolation_level=None)) as connection:
            connection.execute(failure.wrong)
    measures.round()
    for failure, database in zip(FAILURES, measures.databases, strict=True):
        (problem,) = measures.problems(database)
        is_unit = failure.text == "microseconds"
        assert problem.code == ("measure_failed" if is_unit else "measure_out_of_range"), failure
        assert failure.text in problem.text, failure
