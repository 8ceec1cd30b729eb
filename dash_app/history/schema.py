"""The schema of the history file, as migrations from each version to the next."""

import sqlite3

from dash_app.history.rollups import roll_up_all

MIGRATIONS = (
    """
    CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        database TEXT NOT NULL,
        "table" TEXT,               -- null for numbers of the whole database
        metric TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX series_key ON series (database, metric, ifnull("table", ''));
    CREATE TABLE point (
        series INTEGER NOT NULL REFERENCES series,
        at INTEGER NOT NULL,
        value INTEGER,              -- null if it is unknown from then on
        PRIMARY KEY (series, at)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE watched (
        database TEXT NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (database, since)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE memory (
        database TEXT NOT NULL,
        path TEXT NOT NULL,
        status TEXT NOT NULL,
        code TEXT,
        since TEXT NOT NULL,
        read_at TEXT,
        total_rows INTEGER,
        tables INTEGER,
        PRIMARY KEY (database, path)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE event (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        database TEXT NOT NULL,
        kind TEXT NOT NULL,
        at TEXT NOT NULL,
        before TEXT NOT NULL,       -- JSON, like `after`
        after TEXT NOT NULL,
        ended_at TEXT               -- when its problem was undone or acknowledged
    ) STRICT;
    CREATE INDEX event_of_database ON event (database, id);
    ALTER TABLE memory ADD COLUMN absence TEXT;
    ALTER TABLE memory ADD COLUMN baseline TEXT;    -- a reading, as JSON
    """,
    """
    CREATE TABLE rollup (
        series INTEGER NOT NULL REFERENCES series,
        span INTEGER NOT NULL,      -- seconds: an hour or a day
        at INTEGER NOT NULL,        -- its start
        last INTEGER,
        least INTEGER,
        greatest INTEGER,
        PRIMARY KEY (span, series, at)
    ) STRICT, WITHOUT ROWID;
    CREATE VIEW minute AS
        SELECT series, at, value AS last, value AS least, value AS greatest FROM point;
    CREATE VIEW hour AS SELECT series, at, last, least, greatest FROM rollup WHERE span = 3600;
    CREATE VIEW day AS SELECT series, at, last, least, greatest FROM rollup WHERE span = 86400;
    """,
    # The rows of a table and the sum of its written rows change together. One row for both halves
    # the file. The time of the last write changed each minute and was not shown.
    """
    DROP VIEW minute;
    DROP VIEW hour;
    DROP VIEW day;
    ALTER TABLE point ADD COLUMN written INTEGER;   -- sum of all rows written up to then
    ALTER TABLE rollup ADD COLUMN written INTEGER;  -- at its end
    CREATE VIEW minute AS SELECT series, at, value AS last, value AS least, value AS greatest,
        written FROM point;
    CREATE VIEW hour AS SELECT * FROM rollup WHERE span = 3600;
    CREATE VIEW day AS SELECT * FROM rollup WHERE span = 86400;
    CREATE TEMP VIEW pair AS SELECT rows.id AS rows, inserted.id AS inserted
        FROM main.series AS rows JOIN main.series AS inserted USING (database, "table")
        WHERE rows.metric = 'rows' AND inserted.metric = 'inserted';
    INSERT OR REPLACE INTO point SELECT rows, here.at,
        (SELECT value FROM point WHERE series = rows AND at <= here.at ORDER BY at DESC),
        (SELECT value FROM point WHERE series = inserted AND at <= here.at ORDER BY at DESC)
        FROM pair JOIN point AS here ON here.series IN (rows, inserted);
    INSERT OR REPLACE INTO rollup
        SELECT rows, span, at, last, ifnull(least, last), ifnull(greatest, last), written FROM (
            SELECT rows, span, here.at AS at,
            (SELECT last FROM rollup WHERE span = here.span AND series = rows AND at <= here.at
                ORDER BY at DESC) AS last,
            (SELECT least FROM rollup WHERE span = here.span AND series = rows AND at = here.at)
                AS least,
            (SELECT greatest FROM rollup WHERE span = here.span AND series = rows AND at = here.at)
                AS greatest,
            (SELECT last FROM rollup WHERE span = here.span AND series = inserted AND at <= here.at
                ORDER BY at DESC) AS written
            FROM pair JOIN rollup AS here ON here.series IN (rows, inserted)
        );
    DROP VIEW temp.pair;
    DELETE FROM point WHERE series IN (
        SELECT id FROM series WHERE metric IN ('inserted', 'last_write')
    );
    DELETE FROM rollup WHERE series IN (
        SELECT id FROM series WHERE metric IN ('inserted', 'last_write')
    );
    DELETE FROM series WHERE metric IN ('inserted', 'last_write');
    """,
    """
    CREATE TABLE incident (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,          -- names its cause
        kind TEXT NOT NULL,
        level TEXT NOT NULL,
        databases TEXT NOT NULL,    -- names, as JSON
        troubles TEXT NOT NULL,     -- ids of its present problems, as JSON
        text TEXT NOT NULL,
        remedy TEXT NOT NULL,
        since TEXT NOT NULL,
        ended_at TEXT,
        acknowledged_by TEXT,
        acknowledged_at TEXT,
        acknowledged_until TEXT
    ) STRICT;
    CREATE INDEX incident_of_cause ON incident (key, id);
    CREATE TABLE message (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        mark TEXT NOT NULL UNIQUE,  -- its id, which stands in its text
        incident INTEGER REFERENCES incident,   -- null for a summary of several
        cause TEXT NOT NULL,        -- the key of its incident
        kind TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        made_at TEXT NOT NULL,
        due_at TEXT NOT NULL,       -- the next attempt
        attempts INTEGER NOT NULL,
        tried_at TEXT,
        sent_at TEXT,
        failure TEXT,               -- of the last attempt
        reached TEXT NOT NULL,      -- ids of receivers that have it, as JSON
        is_given_up INTEGER NOT NULL,
        told_in TEXT                -- the `mark` of the message sent in its place
    ) STRICT;
    CREATE INDEX message_of_incident ON message (incident, id);
    CREATE INDEX message_unsent ON message (mark) WHERE sent_at IS NULL AND told_in IS NULL;
    CREATE INDEX message_within ON message (told_in) WHERE told_in IS NOT NULL;
    """,
    """
    ALTER TABLE incident ADD COLUMN evidence TEXT NOT NULL DEFAULT '';
    ALTER TABLE incident ADD COLUMN fault_since TEXT;   -- if its level changed
    ALTER TABLE incident ADD COLUMN fault_until TEXT;
    CREATE TABLE opener (
        database TEXT NOT NULL,
        since INTEGER NOT NULL,     -- first and last seen to have it open
        pid INTEGER NOT NULL,
        until INTEGER NOT NULL,
        missed_at INTEGER,          -- first seen not to have it open; null while it has
        command TEXT NOT NULL,
        unit TEXT,                  -- systemd unit or container
        PRIMARY KEY (database, since, pid)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX opener_of_database ON opener (database, until);
    CREATE TABLE integrity (
        database TEXT NOT NULL,
        path TEXT NOT NULL,
        state TEXT NOT NULL,        -- progress and findings of the page check, as JSON
        PRIMARY KEY (database, path)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE match (
        entry TEXT NOT NULL,        -- the configured name of its pattern
        path TEXT NOT NULL,
        name TEXT NOT NULL,         -- of its database, for ever
        is_watched INTEGER NOT NULL,
        PRIMARY KEY (entry, path)
    ) STRICT, WITHOUT ROWID;
    """,
    # Counts stay whole numbers. The values of measures have columns of their own.
    """
    ALTER TABLE series ADD COLUMN label TEXT;       -- of a value of a measure; null if it has one
    DROP INDEX series_key;
    CREATE UNIQUE INDEX series_key
        ON series (database, metric, ifnull("table", ''), ifnull(label, ''));
    DROP VIEW minute;
    DROP VIEW hour;
    DROP VIEW day;
    ALTER TABLE point ADD COLUMN number REAL;
    ALTER TABLE rollup ADD COLUMN last_number REAL;
    ALTER TABLE rollup ADD COLUMN least_number REAL;
    ALTER TABLE rollup ADD COLUMN greatest_number REAL;
    CREATE VIEW minute AS SELECT series, at, ifnull(value, number) AS last,
        ifnull(value, number) AS least, ifnull(value, number) AS greatest, written FROM point;
    CREATE VIEW hour AS SELECT series, at, ifnull(last, last_number) AS last,
        ifnull(least, least_number) AS least, ifnull(greatest, greatest_number) AS greatest,
        written FROM rollup WHERE span = 3600;
    CREATE VIEW day AS SELECT series, at, ifnull(last, last_number) AS last,
        ifnull(least, least_number) AS least, ifnull(greatest, greatest_number) AS greatest,
        written FROM rollup WHERE span = 86400;
    CREATE TABLE answer (
        database TEXT NOT NULL,
        path TEXT NOT NULL,
        state TEXT NOT NULL,        -- the newest answers to its measures, as JSON
        PRIMARY KEY (database, path)
    ) STRICT, WITHOUT ROWID;
    """,
)
ROLLUPS_SINCE = 3
"""The version that added rollups."""


class UnusableHistoryError(Exception):
    """The file is not ours, or a later version of Mission Control wrote it."""


class NotAFileError(UnusableHistoryError):
    """A folder, a pipe or a device is at the path of the history."""


class HistoryInUseError(UnusableHistoryError):
    """Another Mission Control is writing the file."""


def is_outdated(connection: sqlite3.Connection) -> bool:
    """Whether an earlier version wrote the file. Raise sqlite3.Error."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return 0 < version < len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate a file of any earlier version, completely or not at all.

    Raise UnusableHistoryError or sqlite3.Error.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise UnusableHistoryError(
            f"history has schema {version}, this version knows {len(MIGRATIONS)}"
        )
    if version == len(MIGRATIONS):
        return
    with connection:
        connection.executescript(";".join(("BEGIN IMMEDIATE", *MIGRATIONS[version:])))
        if version < ROLLUPS_SINCE:
            roll_up_all(connection)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
