"""The measuring process: asks for measures of several databases, each in one short read.

Argument: the parent's pid. Request, one line: `measures`, a list of `id` (database and name),
`path`, `kind`, `sql`, `is_age` and `is_trial`. Messages:
- `{"asking": ID}`: if the process ends or hangs now, this measure is the cause
- `{"rests_until": TIME, "sidecars": COUNT}`: nothing is open until then (monotonic clock)
- `{"id": ID, "values": [[LABEL, NUMBER], ...], "at": TIME, "uses_time": WHETHER}`
- `{"id": ID, "error": CODE, "detail": {...}}`: see `words.measures`
- `{"id": ID, "is_costly": true}`: a trial took longer than `LIVE_SECONDS`; others come first
- `{"id": ID, "waits": REASON}`: there was no moment to read
- `{"ended": true}` last; what has no answer by then is to be asked again
"""

import os
import sqlite3
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from dash_app.reader import sandbox
from dash_app.reader.files import UnreadableError
from dash_app.reader.protocol import MAX_DATA_BYTES, Message, from_line, send
from dash_app.reader.query import (
    Guard,
    QueryError,
    count_rows,
    error_text,
    read_values,
    scanned_tables,
    table_names,
)
from dash_app.reader.short_reads import (
    CONFIRM_SECONDS,
    STILL_SECONDS,
    WITHOUT_PAUSE,
    GiveUpError,
    Limits,
    MovedError,
    ShortReads,
    TooLongError,
)
from dash_app.reader.table_check import DamagedError, NotComparedError
from dash_app.system.processes import limit_memory

LIVE_SECONDS, WAL_FRAMES = 0.04, 50
"""Maximum time of a query beside a writer, and growth of the WAL meanwhile: 5% of the usual 1,000
frames, since it grows on until the query ends. A quiet file may be read for `STILL_SECONDS`."""

MIN_SHARE = 0.5
"""A query that had less of a processor meanwhile is not called slow: the machine was too busy."""

QUIET_SECONDS = 2.1
"""After this time without a write, a file is quiet."""

TURN_SECONDS = 1.0
"""Processor time after which the rest is left to the next process. At a share of 1%, that starts
after 100 s, or after 300 s if the last query took its 2 s."""

STUCK_SECONDS = 1.0
"""A query that goes on for this long after its interruption is stuck in one function, such as LIKE
with many wildcards. The process then ends."""

ATTEMPTS = 3
DAMAGED = (DamagedError, NotComparedError)
FOREIGN_KEY_CHECK = "foreign_key_check"

OF_QUERY = tuple(
    f"SQLITE_{name}" for name in ("ERROR", "AUTH", "TOOBIG", "MISMATCH", "RANGE", "SCHEMA")
)
"""Errors of a query. It is SCHEMA for a syntax error in the first statement of a connection."""


class MeasureRun:
    """The measures of one request, in their order."""

    def __init__(self, request: Message, *, writes_denied: bool) -> None:
        self._measures: list[Message] = request["measures"]
        self._writes_denied = writes_denied
        self._reads: dict[str, ShortReads] = {}
        self._in_burst: set[str] = set()

    def run(self) -> None:
        """Ask for all measures, or until this has taken its turn of the processor."""
        for measure in self._measures:
            if time.process_time() > TURN_SECONDS:
                break
            send({"asking": measure["id"]})
            send({"id": measure["id"], **self._ask(measure)})
        send({"ended": True})

    def _ask(self, measure: Message) -> Message:
        """Return the answer to one measure, or why there is none.

        A database that is written without a pause is left alone from then on: with each look, the
        chance grows that a busy machine has just stopped its writer.
        """
        reads = self._reads.setdefault(measure["path"], self._short_reads(measure["path"]))
        reason, has_waited, is_trial = WITHOUT_PAUSE, False, measure["is_trial"]
        for _attempt in range(0 if measure["path"] in self._in_burst else ATTEMPTS):
            cpu_seconds = time.process_time()
            try:
                return _read(reads, measure, LIVE_SECONDS if is_trial else None)
            except TooLongError:
                limit_seconds = LIVE_SECONDS if is_trial or reads.is_shared else STILL_SECONDS
                has_run = time.process_time() - cpu_seconds > MIN_SHARE * limit_seconds
                if is_trial and has_run:
                    return {"is_costly": True}
                if is_trial:
                    is_trial = False
                elif not reads.is_out_of_time:
                    reason = WITHOUT_PAUSE
                elif reads.is_shared and not has_waited:
                    has_waited = True
                    reads.rest(QUIET_SECONDS)
                else:
                    return self._out_of_time(measure, reads, limit_seconds, has_run=has_run)
            except (MovedError, UnreadableError, GiveUpError) as error:
                reason = error.code if isinstance(error, UnreadableError) else str(error)
                if reads.is_shared and reason == WITHOUT_PAUSE:
                    self._in_burst.add(measure["path"])
                    break
            except DAMAGED:
                return {"error": "damaged", "detail": {}}
            finally:
                reads.rest()
        return {"waits": reason}

    def _short_reads(self, path: str) -> ShortReads:
        limits = Limits(1.0, LIVE_SECONDS, STUCK_SECONDS, WAL_FRAMES)
        return ShortReads(path, limits, send, writes_denied=self._writes_denied)

    def _out_of_time(
        self, measure: Message, reads: ShortReads, limit_seconds: float, *, has_run: bool
    ) -> Message:
        detail = {"ms": f"{round(limit_seconds * 1000):,}"}
        if not has_run:
            return {"error": "busy", "detail": detail}
        tables: list[str] = []
        with suppress(MovedError, UnreadableError, GiveUpError, TooLongError, *DAMAGED):
            tables = reads.read_once(partial(scanned_tables, sql=measure["sql"]))
        return {"error": "slow", "detail": {**detail, "scans": ", ".join(tables)}}


def _read(reads: ShortReads, measure: Message, seconds: float | None) -> Message:
    """Read once, or again after damage: the file may be half of a copy in progress."""
    work = partial(_measure, measure=measure)
    try:
        return reads.read_once(work, seconds)
    except DAMAGED:
        reads.rest(CONFIRM_SECONDS)
        return reads.read_once(work, seconds)


def _measure(connection: sqlite3.Connection, measure: Message) -> Message:
    """Run the query of a measure. Raise sqlite3.Error if an error concerns the file."""
    at = datetime.now(UTC)
    pragma = FOREIGN_KEY_CHECK if measure["kind"] == "foreign_keys" else ""
    sql = f"PRAGMA {pragma}" if pragma else measure["sql"]
    guard = Guard(connection, pragma)
    try:
        cursor = connection.execute(sql)
        if measure["kind"] == "number":
            values = read_values(cursor, is_age=measure["is_age"])
        else:
            values = [(None, count_rows(cursor))]
    except QueryError as error:
        return {"error": error.code, "detail": error.detail}
    except MemoryError:
        return {"error": "memory", "detail": {}}
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        if guard.refused:
            return {"error": "refused", "detail": {"what": guard.refused}}
        if getattr(error, "sqlite_errorname", "") == "SQLITE_CORRUPT_VTAB":
            return {"error": "virtual_table", "detail": {}}
        if _concerns_file(error):
            raise
        text = error_text(connection, sql, error)
        tables = ", ".join(table_names(connection))
        return {"error": "sql", "detail": {"text": text, "tables": tables}}
    return {"values": values, "at": at.isoformat(), "uses_time": guard.uses_time}


def _concerns_file(error: Exception) -> bool:
    """Whether an error says something about the file or the moment, and not about the query."""
    name = getattr(error, "sqlite_errorname", "")
    is_write = name == "SQLITE_READONLY"  # its extended codes concern the file
    return bool(name) and not is_write and not name.startswith(OF_QUERY)


def main() -> None:
    """Ask for the measures that the parent names."""
    sandbox.die_with_parent(int(sys.argv[1]))
    limit_memory(MAX_DATA_BYTES)
    writes_denied = bool(sandbox.deny_writes())
    request = from_line(sys.stdin.buffer.read())
    MeasureRun(request, writes_denied=writes_denied).run()
    os._exit(0)


if __name__ == "__main__":
    main()
