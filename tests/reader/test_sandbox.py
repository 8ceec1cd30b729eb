"""The kernel denies all changes by the child, through seccomp and through Landlock."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.airlock_helpers import file_states, open_airlock
from tests.harness import ROOT, LiveWriter, eventually, make_database

ATTEMPTS = {
    "write": "open('a.db', 'r+b').write(b'x')",
    "append": "open('a.db', 'ab')",
    "read and create": "os.open('new', os.O_RDONLY | os.O_CREAT)",
    "read and truncate": "os.open('a.db', os.O_RDONLY | os.O_TRUNC)",
    "create": "open('new', 'xb')",
    "unnamed file": "os.open('.', os.O_RDWR | os.O_TMPFILE)",
    "truncate": "os.truncate('a.db', 0)",
    "remove": "os.remove('a.db')",
    "rename": "os.rename('a.db', 'b.db')",
    "replace": "os.replace('a.db', 'b.db')",
    "hard link": "os.link('a.db', 'b.db')",
    "symbolic link": "os.symlink('a.db', 'b.db')",
    "create folder": "os.mkdir('new')",
    "remove folder": "os.rmdir('folder')",
    "create pipe": "os.mkfifo('new')",
    "creat": "call(sandbox.libc.creat(b'new', 0o644))",
    "openat2": "call(sandbox.libc.syscall(437, -100, b'a.db', struct.pack('QQQ', 1, 0, 0), 24))",
}
BEYOND_LANDLOCK = {
    "chmod": "os.chmod('a.db', 0o666)",
    "chmod of a descriptor": "os.chmod(os.open('a.db', os.O_RDONLY), 0o666)",
    "chown": "os.chown('a.db', os.getuid(), os.getgid())",
    "chown of a link": "os.lchown('a.db', os.getuid(), os.getgid())",
    "chown of a descriptor": "os.fchown(os.open('a.db', os.O_RDONLY), os.getuid(), os.getgid())",
    "utime": "os.utime('a.db')",
    "setxattr": "os.setxattr('a.db', 'user.note', b'x')",
    "truncate of a descriptor": "os.ftruncate(writable, 0)",
    "allocation in a descriptor": "os.posix_fallocate(writable, 0, 1 << 20)",
    "write to the WAL": "sqlite3.connect('a.db').execute('CREATE TABLE x (y)')",
}
NO_NEW_PRIVILEGES = "sandbox.libc.prctl(sandbox.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)"
"""Required of an ordinary user's process before either guard."""

SCRIPT = """
import ctypes, json, os, sqlite3, struct, sys
sys.path.insert(0, sys.argv[1])
from dash_app.reader import sandbox
assert open('a.db', 'rb').read(6) == b'SQLite'
writable = os.open('a.db', os.O_RDWR)
def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), 'denied')
is_denied = eval(sys.argv[2])
results = {}
for name, code in json.load(sys.stdin).items():
    try:
        eval(code)
        results[name] = 'allowed'
    except (PermissionError, sqlite3.OperationalError):
        results[name] = 'denied'
    except OSError as error:
        results[name] = repr(error)
assert not is_denied or open('a.db', 'rb').read(6) == b'SQLite' and os.listdir('.')
print(json.dumps([is_denied, results]))
"""


def attempt(folder: Path, guard: str, codes: dict[str, str]) -> tuple[bool, dict[str, str]]:
    """Run code in a process that first evaluates the `guard` expression; return the results."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT), guard],
        cwd=folder,
        input=json.dumps(codes),
        capture_output=True,
        text=True,
        check=True,
    )
    is_denied, results = json.loads(done.stdout)
    return is_denied, results


@pytest.mark.parametrize(
    "guard", ["sandbox.deny_writes()", f"{NO_NEW_PRIVILEGES} or sandbox._deny_by_seccomp()"]
)
def test_every_change_is_denied(tmp_path: Path, guard: str) -> None:
    make_database(tmp_path / "a.db", agents=3)
    (tmp_path / "folder").mkdir()
    before = file_states(tmp_path)
    is_denied, results = attempt(tmp_path, guard, ATTEMPTS | BEYOND_LANDLOCK)
    assert is_denied
    assert results == dict.fromkeys(ATTEMPTS | BEYOND_LANDLOCK, "denied")
    assert file_states(tmp_path) == before


def test_landlock_alone_denies_every_change_of_content(tmp_path: Path) -> None:
    make_database(tmp_path / "a.db", agents=3)
    (tmp_path / "folder").mkdir()
    before = file_states(tmp_path)
    is_denied, results = attempt(
        tmp_path, f"{NO_NEW_PRIVILEGES} or sandbox._deny_by_landlock()", ATTEMPTS
    )
    if is_denied:  # some kernels lack Landlock; the test above shows that seccomp suffices
        assert results == dict.fromkeys(ATTEMPTS, "denied")
        assert file_states(tmp_path) == before


def test_the_same_attempts_succeed_without_a_guard(tmp_path: Path) -> None:
    for number, (name, code) in enumerate((ATTEMPTS | BEYOND_LANDLOCK).items()):
        folder = tmp_path / str(number)
        make_database(folder / "a.db", agents=3)
        (folder / "folder").mkdir()
        assert attempt(folder, "False", {name: code})[1][name] != "denied", name


def test_every_thread_of_the_child_is_guarded(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path), open_airlock(path) as airlock:
        airlock.read(20)
        assert airlock.guards
        (pid,) = airlock.pids
        statuses = []
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # the thread has exited
                lines = (thread / "status").read_text().splitlines()
                statuses.append(dict(line.split(":", 1) for line in lines))
        assert statuses
        for status in statuses:
            assert status["NoNewPrivs"].strip() == "1"
            assert status["Seccomp"].strip() == "2"


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    make_database(tmp_path / "a.db", agents=3)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "a.db")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, signal.SIGSTOP)  # so it cannot notice by itself that its parent has exited
    parent.kill()
    parent.communicate()
    eventually(lambda: not _is_running(pid))


PARENT = """
import sys
from pathlib import Path
from tests.airlock_helpers import open_airlock
with open_airlock(Path(sys.argv[1])) as airlock:
    airlock.read(20)
    print(*airlock.pids, flush=True)
    sys.stdin.read()
"""


def _is_running(pid: int) -> bool:
    """Whether a process runs. One that has exited may remain as a zombie for a while."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
