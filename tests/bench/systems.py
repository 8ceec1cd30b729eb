"""The systems that are measured: server processes, with their memory and processor time."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from dash_app.system.processes import cpu_seconds, memory_bytes
from tests.bench.workloads import Files
from tests.harness import OPTIMIZED, ROOT, eventually, free_port

PRODUCTION = str(ROOT / ".venv" / "bin" / "python")
"""The environment of users. With the tests' packages, pydantic would search them for plugins."""

PEERS = ROOT / ".venv-bench" / "bin"
STATUS = "/api/db-status"
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""The environment that ops/run and the unit set."""


class System:
    """A process that serves HTTP on this machine.

    `path` answers 200 once it has started.
    """

    def __init__(self, command: list[str], port: int, path: str, **environment: str) -> None:
        self.port, self.path = port, path
        self.url = f"http://127.0.0.1:{port}"
        own = {"PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "", "MALLOC_TRIM_THRESHOLD_": ""}
        wanted = {**os.environ, **own, **environment}
        self._started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            env={name: value for name, value in wanted.items() if value},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def seconds_to_answer(self, path: str | None = None) -> float:
        """Wait for the first response 200; return the seconds since the start."""
        while True:
            try:
                if self.get(path or self.path)[0] == 200:
                    return time.perf_counter() - self._started
            except OSError:
                assert self.process.poll() is None, self.process.args
            time.sleep(0.005)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Return status and body of a response."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @property
    def pids(self) -> list[int]:
        """The process and its children."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task").glob("*/children")
        return [pid, *(int(child) for path in children for child in path.read_text().split())]

    def memory_mb(self) -> float:
        """Return the memory of all processes, with a proportional part of shared memory (Pss)."""
        return sum(memory_bytes(pid) or 0 for pid in self.pids) / 1e6

    def cpu_seconds(self, *, child_alone: bool = False) -> float:
        """Return the processor time of all processes."""
        return sum(map(cpu_seconds, self.pids[1:] if child_alone else self.pids))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@contextmanager
def running(system: System) -> Iterator[System]:
    """Wait until a system answers; stop it at the end."""
    try:
        system.seconds_to_answer()
        yield system
    finally:
        system.stop()


def ours(config: Path) -> System:
    """Return Mission Control with a configuration, started as by the unit."""
    port = free_port()
    command = [PRODUCTION, "-m", "dash_app", "serve", "--config", str(config)]
    command += ["--address", "127.0.0.1", "--port", str(port)]
    return System(command, port, STATUS, **ALLOCATOR, **OPTIMIZED)


@contextmanager
def mission_control(config: Path) -> Iterator[System]:
    """Run Mission Control, once it has read all databases and made its first counts."""
    with running(ours(config)) as system:
        eventually(lambda: system.get("/health")[0] == 200)
        time.sleep(2)
        yield system


def bare_dash(body: Path, **environment: str) -> System:
    """Return a bare Dash app with pandas that answers with the bytes of a file."""
    port = free_port()
    command = [PRODUCTION, "-m", "tests.bench.bare", "dash", str(port), str(body)]
    return System(command, port, STATUS, **environment)


def hello() -> System:
    """Return a bare WSGI function."""
    port = free_port()
    return System([PRODUCTION, "-m", "tests.bench.bare", "hello", str(port), ""], port, "/")


def datasette(files: Files) -> System:
    """Return Datasette with the databases that exist; its front page's JSON counts their tables."""
    port = free_port()
    paths = [str(path) for _, path in files if path.exists()]
    command = [str(PEERS / "datasette"), *paths, "--port", str(port), "--setting"]
    return System([*command, "num_sql_threads", "8"], port, "/.json")


def sqlite_web(files: Files, name: str) -> System:
    """Return sqlite-web with one database; its front page lists the tables."""
    port = free_port()
    path = dict(files)[name]
    command = [str(PEERS / "sqlite_web"), "--no-browser", "--port", str(port), str(path)]
    return System(command, port, "/")
