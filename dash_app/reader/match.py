"""The process that lists the files that match patterns.

Argument: the parent's pid. Request, one line: `patterns` as absolute paths, and `seconds`, after
which it ends. Answers:
- `{"pattern": PATTERN, "matches": [PATH, ...]}`: its regular files in order, without leftovers,
  each under one name in UTF-8; no more than `MAX_MATCHES`. A pattern whose folder may not be
  listed, or that was not searched in time, has no answer.
- `{"ended": true, "complete": WHETHER}` last: whether every pattern was searched in time

A pattern is that of a shell (docs.python.org/3/library/glob.html), without `**`. This is apart from
`find` because it runs every 40 s: its few modules load in a third of the time.
"""

import glob
import json
import os
import resource
import stat
import sys
import threading
import time
from contextlib import suppress
from itertools import takewhile

from dash_app.model.leftovers import leftover_reason
from dash_app.reader import sandbox

MAX_MATCHES = 10_000
MAX_DATA_BYTES = 128_000_000
STACK_BYTES, MAX_THREADS = 1 << 19, 64
LOW_PRIORITY = 10
OUTPUT_LOCK = threading.Lock()


def matching_files(pattern: str) -> list[str]:
    """Return the files that match a pattern. Of several names of a file, a link comes last."""
    names: dict[tuple[int, int], str] = {}
    for path in sorted(glob.iglob(pattern), key=lambda path: (os.path.islink(path), path)):
        try:
            info = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode) and not leftover_reason(path):
            names.setdefault((info.st_dev, info.st_ino), path)
    return sorted(names.values())


def _may_be_listed(pattern: str) -> bool:
    """Whether we may list the folder before the first wildcard, as far as it exists."""
    folder = "/".join(takewhile(lambda part: not glob.has_magic(part), pattern.split("/")))
    try:
        os.scandir(folder or "/").close()
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def _answer_each(patterns: list[str]) -> None:
    """Take patterns from a list until it is empty, and answer each."""
    with suppress(IndexError, RecursionError):  # the latter by a pattern of a thousand parts
        while True:
            pattern = patterns.pop()
            if (files := matching_files(pattern)) or _may_be_listed(pattern):
                _send({"pattern": pattern, "matches": files[:MAX_MATCHES]})


def _send(message: dict[str, object]) -> None:
    with OUTPUT_LOCK:
        sys.stdout.write(f"{json.dumps(message)}\n")
        sys.stdout.flush()


def main() -> None:
    """Search for what the parent requests."""
    sandbox.die_with_parent(int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, MAX_DATA_BYTES))
    sandbox.deny_writes()
    os.nice(LOW_PRIORITY)
    request = json.loads(sys.stdin.readline())
    ends_at = time.monotonic() + request["seconds"]
    patterns: list[str] = request["patterns"]
    # In threads, of which any may hang in a folder.
    threading.stack_size(STACK_BYTES)
    threads = [
        threading.Thread(target=_answer_each, args=(patterns,), daemon=True)
        for _ in patterns[:MAX_THREADS]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    _send({"ended": True, "complete": not any(thread.is_alive() for thread in threads)})
    os._exit(0)


if __name__ == "__main__":
    main()
