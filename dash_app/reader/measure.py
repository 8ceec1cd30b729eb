"""The measuring process: asks for measures of several databases, each in one short read.

Argument: the parent's pid. Request, one line: `measures`, a list of `id` (database and name),
`path`, `kind`, `sql` and `is_age`. Messages:
- `{"asking": ID}`: if the process ends or hangs now, this measure is the cause
- `{"rests_until": TIME, "sidecars": COUNT}`: nothing is open until then (monotonic clock)
- `{"id": ID, "values": [[LABEL, NUMBER], ...], "at": TIME, "uses_time": WHETHER}`
- `{"id": ID, "error": CODE, "detail": {...}}`: see `words.measures`
- `{"id": ID, "waits": REASON}`: there was no moment to read
- `{"ended": true}` last
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
    STILL_SECONDS,
    GiveUpError,
    Limits,
    MovedError,
    ShortReads,
    TooLongError,
)
from dash_app.reader.table_check import DamagedError, NotComparedError
from dash_app.system.processes import limit_memory

LIVE_SECONDS = 0.04
"""Maximum time of a query beside a writer: a WAL of a busy one grows by some 100 frames meanwhile.
A quiet file may be read for `STILL_SECONDS`."""

STUCK_SECONDS = 1.0
"""A query that goes on for this long after its interruption is stuck in one function, such as LIKE
with many wildcards. The process then ends."""

ATTEMPTS = 3
FOREIGN_KEY_CHECK = "PRAGMA foreign_key_check"

Values = list[tuple[str | None, int | float | None]]


class Measurer:
    """The measures of one request, in their order."""

    def __init__(self, request: Message, *, writes_denied: bool) -> None:
        self._measures: list[Message] = request["measures"]
        self._writes_denied = writes_denied
        self._reads: dict[str, ShortReads] = {}

    def run(self) -> None:
        """Ask for all measures."""
        for measure in self._measures:
            send({"asking": measure["id"]})
            send({"id": measure["id"], **self._ask(measure)})
        send({"ended": True})

    def _ask(self, measure: Message) -> Message:
        """Return the answer to one measure, or why there is none."""
        reads = self._reads.setdefault(measure["path"], self._short_reads(measure["path"]))
        reason = ""
        for _attempt in range(ATTEMPTS):
            started = time.monotonic()
            try:
                return reads.read_once(partial(_measure, measure=measure))
            except TooLongError:
                limit_seconds = LIVE_SECONDS if reads.is_shared else STILL_SECONDS
                if time.monotonic() - started >= limit_seconds:
                    return self._too_slow(measure, reads, limit_seconds)
                reason = "it is written without a pause"
            except (MovedError, UnreadableError, GiveUpError) as error:
                reason = error.code if isinstance(error, UnreadableError) else str(error)
            except (DamagedError, NotComparedError):
                return {"error": "damaged", "detail": {}}
            finally:
                reads.rest()
        return {"waits": reason}

    def _short_reads(self, path: str) -> ShortReads:
        limits = Limits(1.0, LIVE_SECONDS, STUCK_SECONDS)
        return ShortReads(path, limits, send, writes_denied=self._writes_denied)

    def _too_slow(self, measure: Message, reads: ShortReads, limit_seconds: float) -> Message:
        tables: list[str] = []
        with suppress(MovedError, UnreadableError, GiveUpError, TooLongError, NotComparedError):
            tables = reads.read_once(partial(scanned_tables, sql=measure["sql"]))
        detail = {"ms": str(round(limit_seconds * 1000)), "scans": ", ".join(tables)}
        return {"error": "slow", "detail": detail}


def _measure(connection: sqlite3.Connection, measure: Message) -> Message:
    """Run the query of a measure. Raise sqlite3.Error if an error concerns the file."""
    at = datetime.now(UTC)
    is_query = measure["kind"] != "foreign_keys"
    guard = Guard(connection) if is_query else None
    try:
        cursor = connection.execute(measure["sql"] if is_query else FOREIGN_KEY_CHECK)
        if measure["kind"] == "number":
            values = read_values(cursor, is_age=measure["is_age"])
        else:
            values = [(None, count_rows(cursor))]
    except QueryError as error:
        return {"error": error.code, "detail": error.detail}
    except MemoryError:
        return {"error": "memory", "detail": {}}
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        if guard and guard.refused:
            return {"error": "refused", "detail": {"what": guard.refused}}
        if _concerns_file(error):
            raise
        connection.set_authorizer(None)
        tables = ", ".join(table_names(connection))
        return {"error": "sql", "detail": {"text": error_text(error), "tables": tables}}
    uses_time = bool(guard and guard.uses_time)
    return {"values": values, "at": at.isoformat(), "uses_time": uses_time}


def _concerns_file(error: Exception) -> bool:
    """Whether an error says something about the file or the moment, and not about the query."""
    name = getattr(error, "sqlite_errorname", "")
    of_query = ("SQLITE_ERROR", "SQLITE_AUTH", "SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_RANGE")
    return bool(name) and not name.startswith(of_query)


def main() -> None:
    """Ask for the measures that the parent names."""
    sandbox.die_with_parent(int(sys.argv[1]))
    limit_memory(MAX_DATA_BYTES)
    writes_denied = bool(sandbox.deny_writes())
    request = from_line(sys.stdin.buffer.read())
    Measurer(request, writes_denied=writes_denied).run()
    os._exit(0)


if __name__ == "__main__":
    main()
