"""The search process: finds SQLite files below folders.

Argument: the parent's pid. Request, one line, with lists of absolute paths: `folders` (or files),
and `watched`, databases that are known already; optionally `depth` of folders below `folders`, and
`seconds`, after which the search ends. Answers, in no order:
- `{"file": PATH, "program": TITLE}`: a database, and the program that keeps it; null if unknown
- `{"skipped": PATH, "reason": CODE}`: a database that is left out, or a folder that is not searched
- `{"ended": true, "complete": WHETHER}` last: whether everything was searched
"""

import os
import sqlite3
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice
from queue import SimpleQueue

from dash_app.model.database import HISTORY_APPLICATION_ID
from dash_app.model.known_programs import PROGRAMS
from dash_app.reader import sandbox
from dash_app.reader.connection import connect
from dash_app.reader.files import (
    ABSENT,
    HEADER_BYTES,
    MAGIC,
    UnreadableError,
    read_header,
    read_start,
    stat_files,
)
from dash_app.reader.leftovers import leftover_reason
from dash_app.reader.protocol import MAX_DATA_BYTES, Message, from_line, to_line
from dash_app.reader.routes import choose_route, is_being_written
from dash_app.system.processes import limit_memory

WORKERS, MAX_WORKERS = 2, 32
SILENT_SECONDS, HUNG_SECONDS, WATCHED_SECONDS = 0.5, 5.0, 1.0
"""Time without progress after which a worker is replaced, and after which it is not waited for. The
last is that of a `stat` of a watched file, which comes before the search."""

STACK_BYTES = 1 << 20
LOW_PRIORITY = 10
SECONDS = 5.0
MAX_DEPTH = 8
MAX_ENTRIES = 100_000
MIN_PAGE_BYTES = 512
"""The size of a database is a multiple of this, so that most other files need not be opened."""

EXTENSIONS = (".db", ".sqlite", ".sqlite3", ".db3")
APPLICATION_ID_BYTES = slice(68, 72)
"""The position in the header (sqlite.org/fileformat2.html#application_id)."""

UNCERTAIN = {"other", "unreadable"}
"""Reasons that are reported only of a file whose extension is that of a database."""

TOOLS = {"node_modules", "__pycache__", "site-packages", ".git", ".cargo", ".rustup", ".npm"}
TRASH = {"Trash", ".Trash", ".snapshots", ".zfs"}
SYSTEM = {"/proc", "/sys", "/dev", "/run"}
PROFILES = ({"places.sqlite"}, {"Local Storage", "Cookies"}, {"Local Storage", "Preferences"})
"""Files and folders in the profile of a browser, or of a program that is made from one."""


class Search:
    """A search in threads, of which any may hang in a folder."""

    def __init__(self, request: Message, *, writes_denied: bool) -> None:
        self._writes_denied, self._output_lock = writes_denied, threading.Lock()
        self._folders = dict.fromkeys(request.get("folders", []), 0)
        """The depth of each folder that is to be searched."""
        self._roots = tuple(self._folders)
        self._watched: list[str] = request.get("watched", [])
        self._max_depth: int = request.get("depth", MAX_DEPTH)
        self._ends_at = time.monotonic() + request.get("seconds", SECONDS)
        self._queue: SimpleQueue[tuple[str, Callable[[str], None]]] = SimpleQueue()
        self._moved_at: dict[str, float] = {}
        """When each job last made progress, by path; in the future while it waits."""
        self._workers = 0
        self._links: list[str] = []
        self._names: dict[tuple[int, int], str] = {}
        """The name under which each file was opened, or is watched, by device and inode."""
        self._reasons: dict[tuple[int, int], str] = {}
        """Why another name of a database is skipped."""

    def run(self) -> None:
        """Search until everything was searched, the rest hangs, or the time is over."""
        threading.stack_size(STACK_BYTES)
        self._do(self._note_watched, self._watched, WATCHED_SECONDS)
        self._do(self._walk, list(self._folders))
        # Another name of a file that was found is recognized only now.
        self._do(self._examine, sorted(self._links))
        latest = time.monotonic() - SILENT_SECONDS
        for path, moved_at in list(self._moved_at.items()):
            self._skip(path, "hung" if moved_at < latest else "not_reached")
        self._send({"ended": True, "complete": not self._moved_at})

    def _do(
        self, job: Callable[[str], None], paths: list[str], hung_seconds: float = HUNG_SECONDS
    ) -> None:
        """Do a job for each path, and for those that it adds. Return once all the others hang."""
        for path in paths:
            self._add(path, job)
        silent = 0
        while self._moved_at and time.monotonic() < self._ends_at:
            if self._workers < min(WORKERS + silent, MAX_WORKERS):
                threading.Thread(target=self._work, daemon=True).start()
                self._workers += 1
            ages = [time.monotonic() - moved_at for moved_at in list(self._moved_at.values())]
            if min(ages, default=0) > hung_seconds:
                return
            silent = sum(age > SILENT_SECONDS for age in ages)
            time.sleep(0.02)

    def _add(self, path: str, job: Callable[[str], None]) -> None:
        self._moved_at[path] = self._ends_at
        self._queue.put((path, job))

    def _work(self) -> None:
        while True:
            path, job = self._queue.get()
            self._moved_at[path] = time.monotonic()
            try:
                job(path)
            except OSError as error:
                if error.errno not in ABSENT:
                    self._skip(path, "no_access")
                elif path in self._roots:
                    self._skip(path, "missing")
            except BaseException:  # noqa: BLE001 - a thread must not die silently
                traceback.print_exc(limit=-1)
                os._exit(1)
            del self._moved_at[path]

    def _send(self, message: Message) -> None:
        """Write a message to the parent. Exit if the parent is gone."""
        try:
            with self._output_lock:
                sys.stdout.buffer.write(to_line(message))
                sys.stdout.buffer.flush()
        except OSError:
            os._exit(0)

    def _skip(self, path: str, reason: str) -> None:
        self._send({"skipped": path, "reason": reason})

    def _note_watched(self, path: str) -> None:
        info = os.stat(path)
        self._names[info.st_dev, info.st_ino] = ""
        self._reasons[info.st_dev, info.st_ino] = "watched"

    def _walk(self, folder: str) -> None:
        if folder in self._roots and os.path.isfile(folder):
            self._examine(folder)
            return
        with os.scandir(folder) as scan:
            entries = sorted(islice(scan, MAX_ENTRIES + 1), key=lambda entry: entry.name)
        if len(entries) > MAX_ENTRIES:
            self._skip(folder, "too_many")
        depth = self._folders[folder]
        if depth and (reason := _folder_reason(folder, {entry.name for entry in entries})):
            self._skip(folder, reason)
            return
        for entry in entries:
            self._moved_at[folder] = time.monotonic()
            if entry.is_symlink():
                self._links.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                self._examine(entry.path, is_first=True)
            elif not entry.is_dir(follow_symlinks=False) or not self._max_depth:
                continue
            elif depth == self._max_depth:
                self._skip(entry.path, "too_deep")
            elif entry.path not in self._folders:
                self._folders[entry.path] = depth + 1
                self._add(entry.path, self._walk)

    def _examine(self, path: str, *, is_first: bool = False) -> None:
        """Report a file if it is a database. `is_first`: other names of it come later."""
        try:
            info = os.stat(path)
        except OSError:
            return
        if stat.S_ISDIR(info.st_mode) and os.path.realpath(path) not in self._folders:
            self._skip(path, "link")
        is_named = path.lower().endswith(EXTENSIONS)
        is_sized = info.st_size > 0 and info.st_size % MIN_PAGE_BYTES == 0
        if not stat.S_ISREG(info.st_mode) or not (is_named or is_sized):
            return
        if is_first and info.st_nlink > 1:
            self._links.append(path)
            return
        # Closing a file drops the locks of this process, so each is opened under one name only.
        identity = info.st_dev, info.st_ino
        if self._names.setdefault(identity, path) != path:
            if reason := self._reasons.get(identity):
                self._skip(path, reason)
            return
        reason = self._reason(path, info.st_size)
        if reason in UNCERTAIN and not is_named:
            return
        self._reasons[identity] = "same_file"
        if reason:
            self._skip(path, reason)
        else:
            program = _program(path, writes_denied=self._writes_denied)
            self._send({"file": path, "program": program})

    def _reason(self, path: str, size_bytes: int) -> str | None:
        """Return why a file is skipped, as a code; None if it is a database.

        A file that was requested by its own name is no leftover.
        """
        try:
            header = read_start(os.path.realpath(path), HEADER_BYTES)
        except OSError:
            return "unreadable"
        if not header.startswith(MAGIC):
            return "other" if size_bytes else "empty"
        if int.from_bytes(header[APPLICATION_ID_BYTES], "big") == HISTORY_APPLICATION_ID:
            return "history"
        if any("\ud800" <= character <= "\udfff" for character in path):
            return "not_text"
        return None if path in self._roots else leftover_reason(path)


def _program(path: str, *, writes_denied: bool) -> str | None:
    """Return the title of the program whose tables a database has, if it can be read now."""
    try:
        files = stat_files(path)
        if is_being_written(files, read_header(files)):
            return None
        route = choose_route(files, datetime.now(UTC), writes_denied=writes_denied)
        with connect(files.path, route) as connection:
            rows = connection.execute("SELECT name FROM main.sqlite_schema LIMIT 10000").fetchall()
    except (OSError, UnreadableError, sqlite3.Error, MemoryError, ValueError):
        return None
    names = {name.decode(errors="replace") for (name,) in rows if isinstance(name, bytes)}
    for title, tables, end in PROGRAMS:
        if names.issuperset(tables.split()) and (not end or fnmatchcase(path, f"*/{end}")):
            return title
    return None


def _folder_reason(folder: str, names: set[str]) -> str | None:
    """Return why a folder is not searched, as a code; None if it is. `names`: its contents."""
    name = os.path.basename(folder)
    if folder in SYSTEM:
        return "system"
    if name in TOOLS or "pyvenv.cfg" in names:
        return "tool"
    if any(profile <= names for profile in PROFILES):
        return "browser"
    if name.lower().strip("._-").endswith(("cache", "caches")):
        return "cache"
    return "trash" if name in TRASH else None


def main() -> None:
    """Search what the parent names."""
    sandbox.die_with_parent(int(sys.argv[1]))
    limit_memory(MAX_DATA_BYTES)
    writes_denied = bool(sandbox.deny_writes())
    os.nice(LOW_PRIORITY)
    request = from_line(sys.stdin.buffer.readline())
    Search(request, writes_denied=writes_denied).run()
    os._exit(0)


if __name__ == "__main__":
    main()
