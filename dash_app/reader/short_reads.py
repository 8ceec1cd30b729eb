"""Read a database again and again, each time for an instant in which its writers do not notice it.

Between two reads, nothing is open. A read without locks counts only if nobody wrote meanwhile.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from math import inf
from typing import NamedTuple, TypeVar

from dash_app.reader.connection import connect
from dash_app.reader.counts import missing_part
from dash_app.reader.errors import explain_error
from dash_app.reader.files import Files, Header, UnreadableError, read_header, stat_files
from dash_app.reader.locks import is_wal_index_open
from dash_app.reader.protocol import STUCK, Message
from dash_app.reader.routes import choose_route, is_being_written, is_unchanged, stat_settled
from dash_app.reader.table_check import DamagedError, NotComparedError
from dash_app.reader.wal_index import BURST_SECONDS, Pace, read_wal_index

STILL_SECONDS, LIVE_SECONDS = 2.0, 0.005
"""Maximum time of a statement that reads without locks until somebody writes, enough for about
0.5 GB, and of one that holds back a WAL, which grows by at most 20 frames meanwhile."""

REST_FACTOR = 19
"""Beside a writer, rest after closing, as a multiple of the time before: a WAL can start over
meanwhile. If the machine is busy, a read takes longer, and so does the rest."""

CONFIRM_SECONDS = 5.0
"""Damage counts if it is found again after this time: copies over a file pause for less."""

MAX_ATTEMPTS = 50
BUSY_SECONDS = 1.0
"""Rest before the next attempt to find a moment in which the database can be read."""

LOCKED, WITHOUT_PAUSE = "another program keeps it locked", "it is written without a pause"
"""Why there was no moment."""

PULSE_SECONDS = 5.0
FIRST_BURST_SECONDS = 0.1
WATCH_SECONDS, WATCH_WAL_SECONDS = 0.05, 0.001
LOWEST_PRIORITY = 19

Answer = TypeVar("Answer")


class GiveUpError(Exception):
    """The database cannot be read now; the text is the reason."""


class MovedError(Exception):
    """This is no moment to read the database; the text is why, in a few words."""


class TooLongError(Exception):
    """The statement was interrupted."""


class Limits(NamedTuple):
    """How long the reads of a database may take."""

    share: float
    """What all of them take of one core, from 0 to 1."""
    live_seconds: float = LIVE_SECONDS
    """Maximum time of a statement that holds back a WAL."""
    stuck_seconds: float = inf
    """If a statement goes on for this time after its interruption, the process exits. Without
    locks, it is processor time: a busy machine may not let it run."""
    wal_frames: float = inf
    """Maximum number of frames by which a WAL that is held back may grow meanwhile."""


class ShortReads:
    """The reads of one database.

    `is_shared`: whether the present read holds back a WAL. `is_restless`: whether it is without
    locks although somebody wrote a moment ago. `is_out_of_time`: whether the last one was
    interrupted because of its time.
    """

    def __init__(
        self,
        path: str,
        limits: Limits,
        send: Callable[[Message], None],
        *,
        writes_denied: bool,
    ) -> None:
        """Prepare to read. `send` receives a message about each rest."""
        self._path = path
        self._limits = limits
        self._send = send
        self._writes_denied = writes_denied
        self._identity: tuple[int, int] | None = None
        self._pace = Pace()
        self._sidecars = 0
        self._open_seconds, self._cpu_seconds = 0.0, time.process_time()
        self._rested_at = time.monotonic()
        self.is_shared = self.is_restless = self.is_out_of_time = False

    def read(
        self, work: Callable[[sqlite3.Connection], Answer], seconds: float | None = None
    ) -> Answer:
        """Open the database, work and close it, until no write came in between; then rest.

        Raise DamagedError if there is damage twice, NotComparedError, TooLongError after `seconds`,
        or GiveUpError.
        """
        reason, is_suspect = "its files come and go", False
        for _attempt in range(MAX_ATTEMPTS):
            try:
                return self.read_once(work, seconds)
            except (MovedError, UnreadableError) as error:
                reason = str(error) if isinstance(error, MovedError) else reason
                self.rest(BUSY_SECONDS)
            except DamagedError:
                if is_suspect:
                    raise
                is_suspect = True
                self.rest(CONFIRM_SECONDS)
            finally:
                self.rest()
        raise GiveUpError(reason)

    def read_once(
        self, work: Callable[[sqlite3.Connection], Answer], seconds: float | None = None
    ) -> Answer:
        """Open the database, work and close it. The caller rests.

        Raise what `read` does, with DamagedError at once, or MovedError or UnreadableError if this
        is no moment to read.
        """
        files = stat_settled(self._path)
        if self._identity not in {None, files.identity}:
            raise GiveUpError("its file was replaced")
        self._identity = files.identity
        header = read_header(files)
        if is_being_written(files, header):
            raise MovedError(LOCKED)
        now = datetime.now(UTC)
        route = choose_route(files, now, writes_denied=self._writes_denied)
        is_shared = self.is_shared = route == "shared"
        if is_shared and self._is_in_burst(files.path):
            raise MovedError(WITHOUT_PAUSE)
        self.is_restless = not is_shared and not files.shows_writes_after(now)
        had_others = is_shared and is_wal_index_open(files.path)
        seconds = seconds or (self._limits.live_seconds if is_shared else STILL_SECONDS)
        failure: Exception | None = None
        started = time.monotonic()
        try:
            with connect(files.path, route) as connection:
                answer = self._run(work, connection, seconds, self._disturbance(files, header))
        except (sqlite3.Error, UnicodeError, DamagedError) as error:
            failure = error
        self._open_seconds += time.monotonic() - started
        is_left = had_others and os.path.exists(f"{files.path}-wal")
        self._sidecars += is_left and not is_wal_index_open(files.path)
        if getattr(failure, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise TooLongError  # also after a write: an attempt as long would hardly succeed
        if not is_shared and not is_unchanged(files, header):
            raise MovedError(WITHOUT_PAUSE)
        if failure:
            raise _explained(failure, files, header)
        return answer

    def _run(
        self,
        work: Callable[[sqlite3.Connection], Answer],
        connection: sqlite3.Connection,
        seconds: float,
        is_disturbed: Callable[[], bool],
    ) -> Answer:
        """Return the answer of work, interrupted after `seconds` or once it is disturbed.

        A reading without locks takes the processor only when no other process wants it; what holds
        back a WAL would do so for much longer on a busy machine.
        """
        answers: list[Answer] = []
        errors: list[BaseException] = []

        def run() -> None:
            if not self.is_shared:
                with suppress(OSError):  # as a filter of system calls may answer
                    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
            try:
                answers.append(work(connection))
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)

        watches_wal = self.is_shared and self._limits.wal_frames < inf
        watch_seconds = WATCH_WAL_SECONDS if watches_wal else min(seconds, WATCH_SECONDS)
        thread, ends = threading.Thread(target=run), time.monotonic() + seconds
        clock = time.monotonic if self.is_shared else time.process_time
        stuck_at = clock() + seconds + self._limits.stuck_seconds
        thread.start()
        while thread.is_alive():
            thread.join(watch_seconds)
            self.is_out_of_time = time.monotonic() > ends
            if self.is_out_of_time or is_disturbed():
                connection.interrupt()
            if clock() > stuck_at:
                os._exit(STUCK)
        if errors:
            raise errors[0]
        return answers[0]

    def _disturbance(self, files: Files, header: Header) -> Callable[[], bool]:
        """Return what ends a read: any write if it has no locks, otherwise a WAL that grows."""
        if not self.is_shared:
            return partial(_has_moved, files)
        max_bytes = _wal_bytes(files) + self._limits.wal_frames * header.page_bytes
        return lambda: _wal_bytes(files) > max_bytes

    def _is_in_burst(self, path: str) -> bool:
        """Whether there are too many commits, since the last time or just now.

        The first time it looks for longer: a busy machine may stop a fast writer for 20 ms.
        """
        seconds = BURST_SECONDS if self._pace.is_known else FIRST_BURST_SECONDS
        self._pace.note(read_wal_index(f"{path}-shm"))
        was_burst = self._pace.is_burst
        time.sleep(seconds)
        self._pace.note(read_wal_index(f"{path}-shm"))
        return was_burst or self._pace.is_burst

    def rest(self, min_seconds: float = 0.0) -> None:
        """Rest for as long as the budget and a writer need, with nothing open."""
        now, cpu_seconds = time.monotonic(), time.process_time()
        seconds = (cpu_seconds - self._cpu_seconds) / self._limits.share - (now - self._rested_at)
        live_seconds = REST_FACTOR * self._open_seconds if self.is_shared else 0
        seconds = max(seconds, live_seconds, min_seconds)
        while seconds > 0:
            piece_seconds = min(seconds, PULSE_SECONDS)
            self._send(
                {"rests_until": time.monotonic() + piece_seconds, "sidecars": self._sidecars}
            )
            time.sleep(piece_seconds)
            seconds -= piece_seconds
        self._rested_at, self._cpu_seconds, self._open_seconds = time.monotonic(), cpu_seconds, 0.0


def _explained(error: Exception, files: Files, header: Header) -> Exception:
    """Return the meaning of an error that the work raised."""
    if isinstance(error, DamagedError):
        return error
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_ERROR"):
        return NotComparedError(missing_part(str(error)))
    code = explain_error(error, files, header).code
    meanings: dict[str, Exception] = {
        "corrupt": DamagedError(set()),
        "locked": MovedError(LOCKED),
        "needs_recovery": MovedError(LOCKED),  # or the index of the WAL is just being made
    }
    return meanings.get(code, GiveUpError(f"it cannot be read ({code})"))


def _wal_bytes(files: Files) -> int:
    try:
        return os.stat(f"{files.path}-wal").st_size
    except OSError:
        return 0


def _has_moved(files: Files) -> bool:
    try:
        return stat_files(files.path) != files
    except UnreadableError:
        return True
