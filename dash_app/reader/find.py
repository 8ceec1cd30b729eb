"""The search process: finds SQLite files below folders, and files that match patterns.

Argument: the parent's pid. Request, one line: `folders` and `patterns` as absolute paths, and
optionally `depth` (of folders below those), and `seconds`, after which it ends. Answers, in no
order:
- `{"file": PATH}`: a database
- `{"skipped": PATH, "reason": CODE}`: a database that is left out, or a folder that is not searched
- `{"pattern": PATTERN, "matches": [PATH, ...], "count": COUNT}`: its regular files in order,
  without leftovers; no more than `MAX_MATCHES`. A pattern that could not be searched has no answer.
- `{"ended": true, "complete": WHETHER}` last: whether everything was searched

A pattern is that of a shell (docs.python.org/3/library/glob.html), without `**`.
"""

import glob
import os
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable
from itertools import islice
from queue import SimpleQueue

from dash_app.model.database import HISTORY_APPLICATION_ID
from dash_app.reader import sandbox
from dash_app.reader.files import ABSENT, HEADER_BYTES, MAGIC, read_start
from dash_app.reader.leftovers import leftover_reason
from dash_app.reader.protocol import MAX_DATA_BYTES, Message, from_line, to_line
from dash_app.system.processes import limit_memory

WORKERS, MAX_WORKERS = 2, 32
SILENT_SECONDS, HUNG_SECONDS = 0.5, 3.0
"""Time without progress after which a worker is replaced, and after which it is not waited for."""

STACK_BYTES = 1 << 20
LOW_PRIORITY = 10
SECONDS = 5.0
MAX_DEPTH = 8
MAX_ENTRIES = 100_000
MAX_MATCHES = 1000
MIN_PAGE_BYTES = 512
"""The size of a database is a multiple of this, so that most other files need not be opened."""

EXTENSIONS = (".db", ".sqlite", ".sqlite3", ".db3")
APPLICATION_ID_BYTES = slice(68, 72)
"""The position in the header (sqlite.org/fileformat2.html#application_id)."""

TOOLS = {"node_modules", "__pycache__", "site-packages", ".git", ".cargo", ".rustup", ".npm"}
SYSTEM = {"/proc", "/sys", "/dev", "/run"}
PROFILES = ({"places.sqlite"}, {"Local Storage", "Cookies"}, {"Local Storage", "Preferences"})
"""Files and folders in the profile of a browser, or of a program that is made from one."""


class Search:
    """A search in threads, of which any may hang in a folder."""

    def __init__(self, request: Message, send: Callable[[Message], None]) -> None:
        self._send = send
        self._folders: list[str] = request.get("folders", [])
        self._max_depth: int = request.get("depth", MAX_DEPTH)
        self._ends_at = time.monotonic() + request.get("seconds", SECONDS)
        self._queue: SimpleQueue[tuple[str, Callable[[str], None]]] = SimpleQueue()
        self._moved_at: dict[str, float] = {}
        """When each job last made progress, by path; in the future while it waits."""
        self._depths: dict[str, int] = {}
        self._links: list[str] = []
        self._claimed: dict[tuple[int, int], str] = {}
        self._databases: set[tuple[int, int]] = set()
        for pattern in request.get("patterns", []):
            self._add(pattern, self._match)
        for folder in self._folders:
            self._depths[folder] = 0
            self._add(folder, self._walk)

    def run(self) -> None:
        """Search until everything was searched, the rest hangs, or the time is over."""
        threading.stack_size(STACK_BYTES)
        self._wait()
        # A link or another name of a file that was found is recognized only now.
        for link in sorted(self._links):
            self._add(link, self._examine)
        self._wait()
        now = time.monotonic()
        for path, moved_at in list(self._moved_at.items()):
            hangs = moved_at < now - SILENT_SECONDS
            self._skip(path, "hung" if hangs else "not_reached")
        self._send({"ended": True, "complete": not self._moved_at})

    def _wait(self) -> None:
        workers = silent = 0
        while self._moved_at and time.monotonic() < self._ends_at:
            if workers < min(WORKERS + silent, MAX_WORKERS):
                threading.Thread(target=self._work, daemon=True).start()
                workers += 1
            ages = [time.monotonic() - moved_at for moved_at in list(self._moved_at.values())]
            if min(ages, default=0) > HUNG_SECONDS:
                return
            silent = sum(age > SILENT_SECONDS for age in ages)
            time.sleep(0.01)

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
                    self._skip(path, "unreadable")
            except BaseException:  # noqa: BLE001 - a thread must not die silently
                traceback.print_exc(limit=-1)
                os._exit(1)
            del self._moved_at[path]

    def _skip(self, path: str, reason: str) -> None:
        self._send({"skipped": path, "reason": reason})

    def _walk(self, folder: str) -> None:
        with os.scandir(folder) as scan:
            entries = sorted(islice(scan, MAX_ENTRIES + 1), key=lambda entry: entry.name)
        depth = self._depths.pop(folder)
        if len(entries) > MAX_ENTRIES:
            self._skip(folder, "too_many")
        if depth and (reason := _folder_reason(folder, {entry.name for entry in entries})):
            self._skip(folder, reason)
            return
        for entry in entries:
            self._moved_at[folder] = time.monotonic()
            if entry.is_symlink():
                self._links.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                self._examine(entry.path, is_first=True)
            elif entry.is_dir(follow_symlinks=False) and depth < self._max_depth:
                if entry.path not in self._folders:
                    self._depths[entry.path] = depth + 1
                    self._add(entry.path, self._walk)
            elif entry.is_dir(follow_symlinks=False) and self._max_depth:
                self._skip(entry.path, "too_deep")

    def _examine(self, path: str, *, is_first: bool = False) -> None:
        """Report a file if it is a database. `is_first`: other names of it come later."""
        info = os.stat(path)
        identity = info.st_dev, info.st_ino
        if stat.S_ISDIR(info.st_mode) and not self._is_searched(path):
            self._skip(path, "link")
        is_named = path.endswith(EXTENSIONS)
        if not stat.S_ISREG(info.st_mode) or not (is_named or _may_be_database(info.st_size)):
            return
        if is_first and info.st_nlink > 1:
            self._links.append(path)
            return
        # Closing a file drops the locks of this process, so each is opened under one name only.
        if self._claimed.setdefault(identity, path) != path:
            if identity in self._databases:
                self._skip(path, "same_file")
            return
        try:
            header = read_start(os.path.realpath(path), HEADER_BYTES)
        except OSError:
            if is_named:
                self._skip(path, "unreadable")
            return
        if header.startswith(MAGIC):
            self._databases.add(identity)
            self._report(path, header)

    def _report(self, path: str, header: bytes) -> None:
        application_id = int.from_bytes(header[APPLICATION_ID_BYTES], "big")
        is_own = application_id == HISTORY_APPLICATION_ID
        if reason := "history" if is_own else leftover_reason(path):
            self._skip(path, reason)
        else:
            self._send({"file": path})

    def _is_searched(self, link: str) -> bool:
        target = os.path.join(os.path.realpath(link), "")
        return any(target.startswith(os.path.join(folder, "")) for folder in self._folders)

    def _match(self, pattern: str) -> None:
        """Report the files that match a pattern, each under one name."""
        names: dict[tuple[int, int], str] = {}
        for path in sorted(glob.iglob(pattern), key=lambda path: (os.path.islink(path), path)):
            self._moved_at[pattern] = time.monotonic()
            try:
                info = os.stat(path)
            except OSError:
                continue
            if stat.S_ISREG(info.st_mode):
                reason = leftover_reason(path)
                if not reason and names.setdefault((info.st_dev, info.st_ino), path) != path:
                    reason = "same_file"
                if reason:
                    self._skip(path, reason)
        matches = sorted(names.values())
        self._send({"pattern": pattern, "matches": matches[:MAX_MATCHES], "count": len(matches)})


def _may_be_database(size_bytes: int) -> bool:
    return size_bytes > 0 and size_bytes % MIN_PAGE_BYTES == 0


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
    return "trash" if name in {"Trash", ".Trash"} else None


def _send(message: Message) -> None:
    """Write a message to the parent. Exit if the parent is gone."""
    data = to_line(message)
    try:
        with OUTPUT_LOCK:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except OSError:
        os._exit(0)


OUTPUT_LOCK = threading.Lock()


def main() -> None:
    """Search what the parent names."""
    sandbox.die_with_parent(int(sys.argv[1]))
    limit_memory(MAX_DATA_BYTES)
    sandbox.deny_writes()
    os.nice(LOW_PRIORITY)
    Search(from_line(sys.stdin.buffer.readline()), _send).run()
    os._exit(0)


if __name__ == "__main__":
    main()
