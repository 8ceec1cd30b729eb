"""Real databases, writer processes and services for tests."""

import itertools
import json
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeVar

from tests import contract
from tests.forked import Forked

Answer = TypeVar("Answer")

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 60.0
"""Maximum wait for an event: long, so that a slow machine fails no test."""

PATIENT = 'deadline = "30s"'
"""A setting of the sampler: the deadline of a reading that a busy machine does not miss."""

WITHOUT_SYNC = "PRAGMA synchronous = OFF"
"""Waits for no disk. The file that others see is the same: only a loss of power would show."""

WRITER = """
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, uri=True)
for line in sys.stdin:
    order = json.loads(line)
    try:
        if isinstance(order, str):
            answer = connection.execute(order).fetchall()
        else:
            answer = len(open(order["read"], "rb").read())
    except sqlite3.Error as error:
        answer = {"error": error.sqlite_errorname}
    print(json.dumps(answer), flush=True)
"""


def make_database(path: Path, *, wal: bool = True, **tables: int) -> Path:
    """Make a cleanly closed database; `tables` has the number of rows of each table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(WITHOUT_SYNC)
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        for table, rows in tables.items():
            connection.execute(f'CREATE TABLE "{table}" (id INTEGER PRIMARY KEY, text TEXT)')
            connection.execute("BEGIN")
            values = ((f"row {number}",) for number in range(rows))
            connection.executemany(f'INSERT INTO "{table}" (text) VALUES (?)', values)
            connection.execute("COMMIT")
    return path


def execute(path: Path, *statements: str) -> None:
    """Run statements as another program would, and close the database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(WITHOUT_SYNC)
        for sql in statements:
            connection.execute(sql)


def close_as_last(path: Path) -> None:
    """Use a database as a program that takes itself for the last one, and so removes the WAL.

    SQLite did so beside a writer whose locks on the main file were gone, before it looked for the
    lock on the WAL's index too: 3.53 leaves the WAL.
    """
    execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    for side in ("-wal", "-shm"):
        Path(f"{path}{side}").unlink(missing_ok=True)


class LiveWriter:
    """Another process with an open connection to a database."""

    program = WRITER
    arguments: tuple[str, ...] = ()

    def __init__(self, path: Path, vfs: str = "unix") -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", self.program, f"{path.absolute().as_uri()}?vfs={vfs}"),
                *self.arguments,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, sql: str) -> Any:
        """Run a statement in that process; return its rows, or {"error": NAME}."""
        return self._order(sql)

    def read_file(self, path: Path) -> None:
        """Let that process open, read and close a file, which cancels its locks on it."""
        self._order({"read": str(path)})

    def _order(self, order: str | dict[str, str]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """Let the process close the database and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """Kill the process: nothing is closed, as in a crash."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def eventually(probe: Callable[[], Answer], within: float = PATIENCE_SECONDS) -> Answer:
    """Call a probe until its answer is true and return it; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"never happened within {within} s: {probe}"
        time.sleep(0.02)
    return answer


def prometheus(program: str) -> str:
    """Return the path of `prometheus` or `promtool`, which ops/test installs if it is missing."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:{Path(sys.executable).parent}")
    assert path is not None, f"{program} is missing; ./ops/test installs it"
    return path


SHARES = 32


def _own_ports() -> Iterator[int]:
    """Yield ports that no other test process uses, below the kernel's own range (from 32,768).

    The name of an abstract socket is free again when its process has ended.
    """
    with socket.socket(socket.AF_UNIX) as holder:
        for share in range(SHARES):
            with suppress(OSError):
                holder.bind(f"\0mission-control-tests-{share}")
                yield from itertools.cycle(random.sample(range(10_000, 30_000)[share::SHARES], 625))
    raise RuntimeError("too many test processes")


PORTS = _own_ports()


def free_port() -> int:
    """Return a port that is not in use and was not returned recently."""
    return next(filter(_is_free, PORTS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class NoThread(threading.Thread):
    """A thread beyond the maximum number of the system."""

    def start(self) -> None:
        """Fail as Python does."""
        raise RuntimeError("can't start new thread")


@contextmanager
def thousand_descriptors() -> Iterator[None]:
    """Open so many descriptors that select(2) fails for the next ones."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, limits[1]), limits[1]))
    held = [os.dup(0) for _ in range(1030)]
    try:
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextmanager
def other_server() -> Iterator[int]:
    """A web server that is not ours; yield its port. If it never answered, doctor would wait."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def write_config(
    folder: Path,
    databases: Iterable[tuple[str, Path]],
    *,
    interval: str = "1s",
    **more: str,
) -> Path:
    """Write a configuration with its history in the same folder; return its path.

    `more` maps the names of sections to lines of TOML. Without a `sampler`, it is `PATIENT`.
    """
    lines = [
        f"[sampler]\ninterval = {json.dumps(interval)}\n{more.pop('sampler', PATIENT)}",
        f"[history]\npath = {json.dumps(str(folder / 'history.db'))}\n{more.pop('history', '')}",
        *(f"[{name}]\n{text}" for name, text in more.items()),
        *(
            f"[[databases]]\nname = {json.dumps(name)}\npath = {json.dumps(str(path))}"
            for name, path in databases
        ),
    ]
    config = folder / "config.toml"
    config.write_text("\n".join(lines))
    return config


OPTIMIZED = {
    "PYTHONOPTIMIZE": "2",
    "PYTHONPYCACHEPREFIX": str(ROOT / ".venv" / "optimized"),
}
"""The environment of the systemd unit: no docstrings, no assertions."""


OUR_VARIABLES = {"HOME", "NOTIFY_SOCKET", "WATCHDOG_USEC"}
"""Variables that no library reads while it is loaded."""


class Served:
    """A service process, `python -m dash_app serve`, with a configuration.

    `patch` is Python code that runs first, for example to lower a limit. With variables
    that may concern libraries, it loads its modules itself, as an installed service does.
    """

    def __init__(
        self, config: Path, *, port: int | None = None, patch: str = "pass", **environment: str
    ) -> None:
        self._more_environment = environment
        self._code = f"{patch}; import dash_app.__main__"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = config
        self._log = config.with_suffix(".log")
        self.process = self._start()

    def _start(self) -> Forked | subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        environment |= OPTIMIZED | self._more_environment
        arguments = ["serve", "--config", str(self._config), "--address", "127.0.0.1"]
        arguments += ["--port", str(self.port)]
        process: Forked | subprocess.Popen[bytes]
        if self._more_environment.keys() - OUR_VARIABLES:
            with self._log.open("ab") as log:
                command = [sys.executable, "-c", self._code, *arguments]
                process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        else:
            process = Forked(self._code, arguments, (self._log, self._log), environment)
        try:
            eventually(lambda: self.answers() or process.poll() is not None)
        except BaseException:
            process.kill()
            raise
        assert process.poll() is None, self.log
        return process

    @property
    def log(self) -> str:
        """Everything it printed so far."""
        return self._log.read_text()

    def answers(self, within: float = PATIENCE_SECONDS) -> bool:
        """Whether `/health` answers 200."""
        try:
            return self.get("/health", within=within)[0] == 200
        except OSError:
            return False

    def get(
        self, path: str, headers: dict[str, str] | None = None, *, within: float = PATIENCE_SECONDS
    ) -> tuple[int, str]:
        """Return status and body of a response, after checking it against the API's description."""
        request = urllib.request.Request(self.url + path, headers=headers or {})
        try:
            answer = urllib.request.urlopen(request, timeout=within)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            status, body = answer.status, answer.read().decode()
        contract.check(path, status, answer.headers["Content-Type"], body)
        return status, body

    def json(self, path: str, headers: dict[str, str] | None = None) -> Any:
        """Return the JSON of a route that answers 200."""
        status, body = self.get(path, headers)
        assert status == 200, body
        return json.loads(body)

    def database(self, name: str) -> Any:
        """Return one database of `/api/db-status`."""
        databases = self.json("/api/db-status")["databases"]
        return next(database for database in databases if database["name"] == name)

    def await_tick(self) -> None:
        """Wait until there are new readings: the next ones are an interval away."""
        taken_at = self.json("/api/db-status")["takenAt"]
        eventually(lambda: self.json("/api/db-status")["takenAt"] > taken_at)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the process; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE_SECONDS)

    def restart(self) -> None:
        """Start a stopped service again, on the same port."""
        self.process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Poller:
    """A client that sends requests without a pause over one connection, and keeps the statuses."""

    def __init__(self, served: Served) -> None:
        self.statuses: list[int] = []
        self._connection = HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_SECONDS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll)

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self._connection.request("GET", "/api/db-status")
            response = self._connection.getresponse()
            response.read()
            self.statuses.append(response.status)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._connection.close()
