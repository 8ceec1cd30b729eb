"""The search process: finds SQLite files below folders.

Argument: the parent's pid. Request, one line, with lists of absolute paths: `folders` (or files),
and `watched`, databases that are known already; optionally `depth` of folders below `folders`,
`seconds`, after which the search ends, and `schema`, whether to describe the tables. Answers, in no
order:
- `{"file": PATH, "program": TITLE, "schema": {...}}`: a database, the program that keeps it, and
  its tables (`schema.describe_tables`); null if unknown
- `{"skipped": PATH, "reason": CODE}`: a database that is left out, or a folder that is not searched
- `{"ended": true, "complete": WHETHER}` last: whether everything was searched
"""

import os
import sqlite3
import stat
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from heapq import heappop, heappush
from itertools import islice

from dash_app.model.database import HISTORY_APPLICATION_ID
from dash_app.model.known_programs import PROGRAMS
from dash_app.model.leftovers import leftover_reason
from dash_app.reader import sandbox
from dash_app.reader.connection import connect, cpu_limit
from dash_app.reader.files import (
    ABSENT,
    HEADER_BYTES,
    MAGIC,
    UnreadableError,
    identity_of,
    read_header,
    read_start,
    stat_files,
)
from dash_app.reader.protocol import MAX_DATA_BYTES, Message, from_line, send
from dash_app.reader.routes import choose_route, is_being_written
from dash_app.reader.schema import describe_tables
from dash_app.system.disk import is_remote, remote_mounts
from dash_app.system.processes import limit_memory

SECONDS = 5.0
LINKS = sys.maxsize
"""Stands for the root of links, which come last: most lead to another name of what was found."""

DESCRIBE_SECONDS = 2.0
LOW_PRIORITY = 10
MAX_DEPTH = 8
MAX_ENTRIES = 100_000
MIN_PAGE_BYTES = 512
"""The size of a database is a multiple of this, so that most other files need not be opened."""

EXTENSIONS = (".db", ".sqlite", ".sqlite3", ".db3")
APPLICATION_ID_BYTES = slice(68, 72)
"""The position in the header (sqlite.org/fileformat2.html#application_id)."""

UNCERTAIN = {"other", "unreadable"}
"""Reasons that are reported only of a file whose extension is that of a database."""

NAMES = "SELECT name FROM main.sqlite_schema LIMIT 10000"

TOOLS = {"node_modules", "__pycache__", "site-packages", ".git", ".cargo", ".rustup", ".npm"}
BACKUPS = {"backup", "backups", "bak"}
TRASH = {"Trash", ".Trash", ".snapshots", ".zfs"}
SYSTEM = {"/proc", "/sys", "/dev", "/run"}
PROFILES = ({"places.sqlite"}, {"Local Storage", "Cookies"}, {"Local Storage", "Preferences"})
"""Files and folders in the profile of a browser, or of a program that is made from one."""


class Search:
    """A search in one thread, which may hang.

    Network and FUSE file systems are searched only if a requested folder is on one, and those last.
    """

    def __init__(self, request: Message, *, writes_denied: bool) -> None:
        self._writes_denied, self._mounts = writes_denied, remote_mounts()
        self._max_depth: int = request.get("depth", MAX_DEPTH)
        remote = [folder for folder in request["folders"] if is_remote(folder, self._mounts)]
        local = [os.path.realpath(folder) for folder in request["folders"] if folder not in remote]
        self._roots = dict.fromkeys((*local, *remote))
        self._todo = [(number, 0, root) for number, root in enumerate(self._roots)]
        """A heap of folders and links, after the number of their root, and their depth below it.
        The first is being searched."""
        self._known = set(self._roots)
        self._watched: list[str] = request.get("watched", [])
        self._with_schema: bool = request.get("schema", False)
        self._names: dict[tuple[int, int], str] = {}
        """Why another name of a file is skipped, by device and inode."""

    def run(self, seconds: float) -> None:
        """Search for at most `seconds`."""
        thread = threading.Thread(target=self._search, daemon=True)
        thread.start()
        thread.join(seconds)
        rest = list(self._todo)
        for _root, _depth, path in rest:
            _skip(path, "not_reached")
        send({"ended": True, "complete": not rest})

    def _search(self) -> None:
        for path in self._watched:
            if not is_remote(path, self._mounts) and (identity := identity_of(path)):
                self._names[identity] = "watched"
        while self._todo:
            number, depth, path = self._todo[0]
            try:
                if number == LINKS:
                    self._follow(path)
                else:
                    self._walk(path, number, depth)
            except OSError as error:
                if error.errno not in ABSENT:
                    _skip(path, "no_access")
                elif not depth:
                    _skip(path, "missing")
            heappop(self._todo)

    def _walk(self, folder: str, number: int, depth: int) -> None:
        if not depth and os.path.isfile(folder):
            self._examine(folder)
            return
        entries = _list(folder)
        if depth and (reason := _folder_reason(folder, {entry.name for entry in entries})):
            _skip(folder, reason)
            return
        for entry in entries:
            if entry.path in self._known:
                continue
            if entry.path in self._mounts:
                _skip(entry.path, "remote")
            elif entry.is_symlink():
                heappush(self._todo, (LINKS, depth, entry.path))
            elif entry.is_file(follow_symlinks=False):
                self._examine(entry.path)
            elif not entry.is_dir(follow_symlinks=False):
                continue
            elif depth == self._max_depth:
                _skip(entry.path, "too_deep")
            else:
                self._known.add(entry.path)
                heappush(self._todo, (number, depth + 1, entry.path))

    def _follow(self, link: str) -> None:
        if is_remote(link, self._mounts):
            _skip(link, "remote")
        elif not os.path.isdir(link):
            self._examine(link)
        elif os.path.realpath(link) not in self._known:
            _skip(link, "link")

    def _examine(self, path: str) -> None:
        """Report a file if it is a database."""
        try:
            info = os.stat(path)
        except OSError:
            return
        is_named = path.lower().endswith(EXTENSIONS)
        is_sized = info.st_size > 0 and info.st_size % MIN_PAGE_BYTES == 0
        if not stat.S_ISREG(info.st_mode) or not (is_named or is_sized):
            return
        identity = info.st_dev, info.st_ino
        reason = self._names.get(identity) or self._reason(path, info.st_size)
        if reason is None:
            self._names[identity] = "same_file"
            send({"file": path, **self._describe(path)})
        elif is_named or reason not in UNCERTAIN:
            _skip(path, reason)

    def _describe(self, path: str) -> Message:
        """Return the program and the tables of a database, as far as it can be read now."""
        program = schema = None
        with suppress(OSError, UnreadableError, sqlite3.Error, MemoryError, ValueError):
            files = stat_files(path)
            if is_being_written(files, read_header(files)):
                return {"program": None, "schema": None}
            route = choose_route(files, datetime.now(UTC), writes_denied=self._writes_denied)
            with connect(files.path, route) as connection:
                program = _program(path, connection.execute(NAMES).fetchall())
                if self._with_schema:
                    with cpu_limit(connection, DESCRIBE_SECONDS):
                        schema = describe_tables(connection)
        return {"program": program, "schema": schema}

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
        if path in self._watched:
            return "watched"
        reason = leftover_reason(path)
        return reason if path not in self._roots or reason == "not_text" else None


def _list(folder: str) -> list[os.DirEntry[str]]:
    """Return what is in a folder, by name, up to a maximum. Raise OSError."""
    with os.scandir(folder) as scan:
        entries = sorted(islice(scan, MAX_ENTRIES + 1), key=lambda entry: entry.name)
    if len(entries) > MAX_ENTRIES:
        _skip(folder, "too_many")
    return entries


def _program(path: str, rows: list[tuple[object]]) -> str | None:
    """Return the title of the program whose tables a database has, by the names in its schema."""
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
    if name.lower().strip("._-") in BACKUPS:
        return "backups"
    return "trash" if name in TRASH else None


def _skip(path: str, reason: str) -> None:
    send({"skipped": path, "reason": reason})


def main() -> None:
    """Search what the parent names."""
    sandbox.die_with_parent(int(sys.argv[1]))
    limit_memory(MAX_DATA_BYTES)
    writes_denied = bool(sandbox.deny_writes())
    os.nice(LOW_PRIORITY)
    request = from_line(sys.stdin.buffer.readline())
    Search(request, writes_denied=writes_denied).run(request.get("seconds", SECONDS))
    os._exit(0)  # the thread may hang


if __name__ == "__main__":
    main()
