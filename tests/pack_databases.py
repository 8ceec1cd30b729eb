"""Databases of the programs that have a pack: their tables, rows of a bad day, and the answers.

Of each table, the columns that the program declares and the pack or its indexes use.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.harness import WITHOUT_SYNC

Expected = float | None | dict[str, float]

MS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
SECONDS = "CAST(strftime('%s', 'now') AS INTEGER)"
HOUR = 3600


@dataclass(frozen=True)
class PackDatabase:
    """A script that makes the database, and the value of each measure; ages are in hours."""

    script: str
    expected: dict[str, Expected]


OPENCLAW = PackDatabase(
    f"""
    CREATE TABLE task_runs (task_id TEXT NOT NULL PRIMARY KEY, runtime TEXT NOT NULL,
        owner_key TEXT NOT NULL, task TEXT NOT NULL, status TEXT NOT NULL,
        delivery_status TEXT NOT NULL, notify_policy TEXT NOT NULL, created_at INTEGER NOT NULL,
        started_at INTEGER, ended_at INTEGER, error TEXT, terminal_outcome TEXT);
    CREATE INDEX idx_task_runs_status ON task_runs(status);
    INSERT INTO task_runs SELECT 'task ' || value, 'cron', 'me', 'text',
        CASE value WHEN 1 THEN 'failed' WHEN 2 THEN 'lost' WHEN 3 THEN 'failed'
            WHEN 4 THEN 'running' WHEN 5 THEN 'running' ELSE 'succeeded' END,
        CASE WHEN value IN (8, 9) THEN 'failed' ELSE 'delivered' END, 'done_only',
        {MS} - value * {HOUR} * 1000, {MS} - (value + 1.5) * {HOUR} * 1000,
        {MS} - iif(value IN (3, 9), 30, 1) * {HOUR} * 1000, NULL, NULL
        FROM (SELECT 1 AS value UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5
            UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9);
    """,
    {
        "newest_task": 1,
        "tasks_by_status": {"failed": 2, "lost": 1, "running": 2, "succeeded": 4},
        "tasks_failed_24h": 2,
        "tasks_stuck": 1,
        "tasks_not_delivered_24h": 1,
    },
)
OPENCLAW_QUEUES = PackDatabase(
    f"""
    CREATE TABLE delivery_queue_entries (queue_name TEXT NOT NULL, id TEXT NOT NULL,
        status TEXT NOT NULL, retry_count INTEGER NOT NULL DEFAULT 0, entry_json TEXT NOT NULL,
        enqueued_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, failed_at INTEGER,
        PRIMARY KEY (queue_name, id));
    CREATE TABLE cron_jobs (store_key TEXT NOT NULL, job_id TEXT NOT NULL, name TEXT NOT NULL,
        enabled INTEGER NOT NULL, schedule_kind TEXT NOT NULL, job_json TEXT NOT NULL,
        PRIMARY KEY (store_key, job_id));
    INSERT INTO delivery_queue_entries VALUES
        ('out', 'a', 'pending', 0, '', {MS} - 2 * {HOUR} * 1000, 0, NULL),
        ('out', 'b', 'pending', 0, '', {MS}, 0, NULL), ('out', 'c', 'failed', 9, '', 0, 0, 0);
    INSERT INTO cron_jobs VALUES ('main', '1', 'news', 1, 'cron', ''),
        ('main', '2', 'news', 1, 'cron', ''), ('main', '3', 'news', 0, 'cron', ''),
        ('other', '1', 'news', 1, 'cron', '');
    """,
    {
        "deliveries_by_status": {"failed": 1, "pending": 2},
        "deliveries_stuck": 1,
        "cron_jobs_repeated": 1,
    },
)
HOME_ASSISTANT = PackDatabase(
    f"""
    CREATE TABLE states_meta (metadata_id INTEGER PRIMARY KEY, entity_id VARCHAR(255));
    CREATE TABLE states (state_id INTEGER PRIMARY KEY, entity_id CHAR(0), state VARCHAR(255),
        last_changed_ts FLOAT, last_updated_ts FLOAT, old_state_id INTEGER,
        metadata_id INTEGER REFERENCES states_meta (metadata_id));
    CREATE INDEX ix_states_last_updated_ts ON states (last_updated_ts);
    CREATE TABLE statistics_short_term (id INTEGER PRIMARY KEY, created_ts FLOAT,
        metadata_id INTEGER, start_ts FLOAT, mean FLOAT, sum FLOAT);
    CREATE TABLE recorder_runs (run_id INTEGER PRIMARY KEY, start DATETIME NOT NULL,
        "end" DATETIME, closed_incorrect BOOLEAN NOT NULL, created DATETIME NOT NULL);
    INSERT INTO states_meta VALUES (1, 'sensor.a'), (2, 'sensor.b');
    INSERT INTO states (state, last_updated_ts, metadata_id) VALUES
        ('21.5', {SECONDS} - 3 * {HOUR}, 1), ('unavailable', {SECONDS} - 2 * {HOUR}, 1),
        ('unavailable', {SECONDS} - 0.5 * {HOUR}, 1), ('20.5', {SECONDS} - 0.4 * {HOUR}, 2),
        ('unavailable', {SECONDS} - 0.3 * {HOUR}, 2), ('unavailable', {SECONDS} - 0.25 * {HOUR}, 2);
    INSERT INTO statistics_short_term (start_ts) VALUES ({SECONDS} - {HOUR});
    INSERT INTO recorder_runs SELECT NULL, datetime('now', column1) || '.000000', NULL, column2,
        datetime('now') FROM (VALUES ('-8 day', 1), ('-2 day', 1), ('-1 day', 0));
    """,
    {
        "newest_state": 0.25,
        "newest_statistics": 1,
        "states_per_hour": 4,
        "became_unavailable": 2,
        "recorder_crashes_7d": 1,
    },
)
N8N = PackDatabase(
    """
    CREATE TABLE workflow_entity (id VARCHAR(36) PRIMARY KEY NOT NULL, name VARCHAR(128) NOT NULL,
        active BOOLEAN NOT NULL, nodes TEXT);
    CREATE TABLE execution_entity (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
        workflowId VARCHAR(36) NOT NULL REFERENCES workflow_entity (id), finished BOOLEAN NOT NULL,
        mode VARCHAR NOT NULL, status VARCHAR NOT NULL, startedAt DATETIME, stoppedAt DATETIME,
        waitTill DATETIME);
    CREATE INDEX IDX_execution_entity_stoppedAt ON execution_entity (stoppedAt);
    INSERT INTO workflow_entity VALUES ('a', 'Digest', 1, ''), ('b', 'Backup', 0, '');
    INSERT INTO execution_entity (workflowId, finished, mode, status, startedAt, stoppedAt)
        SELECT column1, 1, 'trigger', column2, strftime('%Y-%m-%d %H:%M:%f', 'now', column3),
            strftime('%Y-%m-%d %H:%M:%f', 'now', column4)
        FROM (VALUES ('a', 'success', '-2 hours', '-1 hours'),
            ('a', 'error', '-3 hours', '-2 hours'),
            ('a', 'crashed', '-5 hours', '-4 hours'), ('b', 'error', '-3 hours', '-2 hours'),
            ('b', 'error', '-3 day', '-2 day'), ('b', 'running', '-7 hours', NULL),
            ('b', 'running', '-1 hours', NULL));
    """,
    {
        "newest_execution": 1,
        "executions_24h": {"crashed": 1, "error": 2, "success": 1},
        "failing_workflows_24h": {"Backup": 1, "Digest": 2},
        "executions_stuck": 1,
        "active_workflows": 1,
    },
)
DJANGO = PackDatabase(
    """
    CREATE TABLE django_session (session_key VARCHAR(40) NOT NULL PRIMARY KEY,
        session_data TEXT NOT NULL, expire_date DATETIME NOT NULL);
    CREATE INDEX django_session_expire_date ON django_session (expire_date);
    INSERT INTO django_session SELECT column1, '', datetime('now', column2) || '.123456'
        FROM (VALUES ('a', '-1 day'), ('b', '1 day'), ('c', '1 hours'));
    """,
    {"sessions": 2, "expired_sessions": 1},
)
SOLID_QUEUE = PackDatabase(
    """
    CREATE TABLE solid_queue_jobs (id INTEGER PRIMARY KEY, queue_name VARCHAR NOT NULL,
        class_name VARCHAR NOT NULL, arguments TEXT, finished_at DATETIME(6),
        created_at DATETIME(6) NOT NULL);
    CREATE TABLE solid_queue_ready_executions (id INTEGER PRIMARY KEY, job_id BIGINT NOT NULL,
        queue_name VARCHAR NOT NULL, priority INTEGER NOT NULL, created_at DATETIME(6) NOT NULL);
    CREATE TABLE solid_queue_failed_executions (id INTEGER PRIMARY KEY, job_id BIGINT NOT NULL,
        error TEXT, created_at DATETIME(6) NOT NULL);
    CREATE TABLE solid_queue_processes (id INTEGER PRIMARY KEY, kind VARCHAR NOT NULL,
        last_heartbeat_at DATETIME(6) NOT NULL, pid INTEGER NOT NULL, name VARCHAR NOT NULL);
    INSERT INTO solid_queue_jobs SELECT NULL, 'default', 'Mail', '', datetime('now', column1), ''
        FROM (VALUES ('-1 hours'), ('-2 day'), (NULL));
    INSERT INTO solid_queue_ready_executions SELECT NULL, 1, column1, 0, datetime('now', column2)
        FROM (VALUES ('default', '-1 hours'), ('default', '-1 minutes'), ('mail', '-1 minutes'));
    INSERT INTO solid_queue_failed_executions VALUES (1, 1, 'text', ''), (2, 2, 'text', '');
    INSERT INTO solid_queue_processes VALUES (1, 'Worker', datetime('now', '-1 hours'), 1, 'a'),
        (2, 'Dispatcher', datetime('now', '-2 hours'), 2, 'b');
    """,
    {
        "newest_heartbeat": 1,
        "waiting_jobs": {"default": 2, "mail": 1},
        "jobs_waiting_for_long": 1,
        "failed_jobs": 2,
        "finished_jobs_24h": 1,
    },
)
LARAVEL = PackDatabase(
    f"""
    CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, queue VARCHAR NOT NULL,
        payload TEXT NOT NULL, attempts INTEGER NOT NULL, reserved_at INTEGER,
        available_at INTEGER NOT NULL, created_at INTEGER NOT NULL);
    CREATE TABLE failed_jobs (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, uuid VARCHAR NOT NULL,
        connection TEXT NOT NULL, queue TEXT NOT NULL, payload TEXT NOT NULL,
        exception TEXT NOT NULL, failed_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
    INSERT INTO jobs SELECT NULL, 'default', '', 0, column1, {SECONDS} + column2, 0
        FROM (VALUES (NULL, -1000), (1, -1000), (NULL, -10), (NULL, 1000));
    INSERT INTO failed_jobs VALUES
        (1, 'a', 'database', 'default', '', 'text', datetime('now', '-1 hours'));
    """,
    {
        "waiting_jobs": {"default": 3},
        "jobs_waiting_for_long": 1,
        "failed_jobs": 1,
        "newest_failed_job": 1,
    },
)
DATABASES = {
    "django-sessions": DJANGO,
    "home-assistant": HOME_ASSISTANT,
    "laravel-queue": LARAVEL,
    "n8n": N8N,
    "openclaw": OPENCLAW,
    "openclaw-queues": OPENCLAW_QUEUES,
    "solid-queue": SOLID_QUEUE,
}
"""By the name of the pack."""


def make_pack_database(path: Path, name: str) -> Path:
    """Make the database of a pack, cleanly closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(WITHOUT_SYNC)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(DATABASES[name].script)
    return path
