"""The life of the service: what its signals and its service manager bring about."""

from __future__ import annotations

import ctypes
import json
import os
import pty
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Self

import pytest

from tests.harness import (
    PATIENCE_SECONDS,
    Served,
    eventually,
    free_port,
    make_database,
    write_config,
)

LARGE = "/_dash-component-suites/plotly/package_data/plotly.min.js"
PTRACE_CONT, PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 17, 0x4206, 0x4207
WALL = 0x40000000
"""See ptrace(2) and waitpid(2)."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, [("email", make_database(tmp_path / "email.db", messages=3))])


def add_database(config: Path, name: str) -> None:
    path = make_database(config.with_name(f"{name}.db"), rows=7)
    with config.open("a") as file:
        file.write(f'\n[[databases]]\nname = "{name}"\npath = {json.dumps(str(path))}\n')


def names(served: Served) -> list[str]:
    return [database["name"] for database in served.json("/api/db-status")["databases"]]


def slow_reader(served: Served) -> socket.socket:
    """Return a connection over which a large answer is under way, most of it still to be sent."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(PATIENCE_SECONDS)
    reader.connect(("127.0.0.1", served.port))
    reader.sendall(f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert reader.recv(12) == b"HTTP/1.1 200"
    return reader


def test_an_end_answers_what_is_under_way(config: Path) -> None:
    """Nobody gets half a file or a reset; who only holds a connection delays nothing."""
    in_any_time = "from dash_app.web import listeners; listeners.DRAIN_SECONDS = 60.0"
    with Served(config, patch=in_any_time) as served, closing(slow_reader(served)) as reader:
        idle = socket.create_connection(("127.0.0.1", served.port))
        asking = HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_SECONDS)
        asking.putrequest("POST", "/_dash-update-component")
        asking.putheader("Content-Type", "text/plain")
        asking.putheader("Content-Length", "2")
        asking.endheaders(b"{")
        served.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        asking.send(b"}")
        assert asking.getresponse().status == 415
        received = bytearray()
        while part := reader.recv(1 << 16):
            received += part
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        (length,) = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
        assert len(body) == int(length.split()[1]) > 1_000_000
        assert served.process.wait(PATIENCE_SECONDS) == 0
        assert served.log.splitlines()[-1] == "INFO dash_app.cli.serve: stopped"


def test_an_end_does_not_wait_for_who_never_reads(config: Path) -> None:
    soon = "from dash_app.web import listeners; listeners.DRAIN_SECONDS = 0.5"
    with Served(config, patch=soon) as served, closing(slow_reader(served)):
        assert served.stop() == 0


class Manager:
    """A service manager's ear."""

    def __init__(self, path: Path) -> None:
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096).decode():
            self.heard.append(message)

    def count(self, message: str) -> int:
        return self.heard.count(message)

    def hears(self, message: str, *, more_than: int = 0) -> int:
        return eventually(lambda: self.count(message) > more_than and self.count(message))


@contextmanager
def managed(config: Path) -> Iterator[tuple[Served, Manager]]:
    """Serve under a manager that wants a sign of life every three seconds."""
    path = config.with_name("notify")
    manager = Manager(path)
    with Served(config, NOTIFY_SOCKET=str(path), WATCHDOG_USEC="3000000") as served:
        yield served, manager


def test_the_service_manager_is_told(config: Path) -> None:
    with managed(config) as (served, manager):
        manager.hears("READY=1")
        manager.hears(f"STATUS=Serving http://127.0.0.1:{served.port}/")
        signs = manager.hears("WATCHDOG=1")
        manager.hears("WATCHDOG=1", more_than=signs)
        served.stop()
    assert manager.heard[-1] == "STOPPING=1"


def started_at(thread: int) -> tuple[int, int]:
    """Return what orders threads by their start: clock ticks, then number. See proc(5)."""
    _name, _, rest = Path(f"/proc/{thread}/stat").read_text().rpartition(")")
    return int(rest.split()[19]), thread


@contextmanager
def hung(served: Served, *, kills: bool = True) -> Iterator[None]:
    """Stop one thread of a service, the first that it started; kill all, or let it go, at the end.

    It goes on for a moment when it was stopped at something that all threads wait for, such as the
    interpreter's lock.
    """
    pid = served.process.pid
    libc = ctypes.CDLL(None, use_errno=True)
    # By start and not by number: numbers begin anew at 32,768, which the whole suite reaches.
    threads = {int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()} - {pid}
    thread = min(threads, key=started_at)

    def trace(request: int) -> None:
        assert libc.ptrace(request, thread, None, None) == 0, os.strerror(ctypes.get_errno())

    def stopped_alone() -> bool:
        trace(PTRACE_INTERRUPT)
        os.waitpid(thread, WALL)
        if served.answers(within=2):
            return True
        trace(PTRACE_CONT)
        return False

    trace(PTRACE_SEIZE)
    try:
        eventually(stopped_alone)
        yield
    finally:
        if kills:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(thread, WALL)
        else:
            assert libc.ptrace(PTRACE_DETACH, thread, None, None) == 0


def test_a_hung_sampler_gives_no_sign_of_life(config: Path) -> None:
    """So that the service manager starts us anew; until then the page says how old it is."""
    with managed(config) as (served, manager):
        manager.hears("WATCHDOG=1")
        with hung(served):
            eventually(lambda: "no reading ends any more" in served.log)
            eventually(lambda: served.get("/health") == (503, "not reading\n"))
            signs = manager.count("WATCHDOG=1")
            before = served.log.count("no reading ends any more")
            eventually(lambda: served.log.count("no reading ends any more") > before)
            assert manager.count("WATCHDOG=1") == signs


class Asking:
    """A client that asks over and over on one connection, and notes each answer."""

    def __init__(self, served: Served) -> None:
        self.statuses: list[int] = []
        self._connection = HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_SECONDS)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._stopped.is_set():
            self._connection.request("GET", "/api/db-status")
            response: HTTPResponse = self._connection.getresponse()
            response.read()
            self.statuses.append(response.status)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._connection.close()


def test_new_settings_are_taken_over_without_losing_a_request(config: Path) -> None:
    with managed(config) as (served, manager):
        with Asking(served) as asking:
            add_database(config, "health")
            text = config.read_text().replace("[history]", '[history]\nretention = "9d"')
            config.write_text(text)
            served.process.send_signal(signal.SIGHUP)
            eventually(lambda: "reloaded" in served.log)
            assert names(served) == ["email", "health"]
            eventually(lambda: served.database("health")["rowCounts"] == {"rows": 7})
        assert set(asking.statuses) == {200}
        line = (
            "INFO dash_app.service.service: "
            "reloaded: watching 2 databases; after a restart also [history]"
        )
        assert served.log.splitlines()[-1] == line
        (reloading,) = [one for one in manager.heard if one.startswith("RELOADING=1\n")]
        assert "READY=1" in manager.heard[manager.heard.index(reloading) :]


def test_who_may_ask_is_taken_over_too(config: Path) -> None:
    token = config.with_name("token")
    token.write_text("s3cret\n")
    token.chmod(0o600)
    with Served(config) as served:
        assert served.get("/api/db-status")[0] == 200
        config.write_text('[server]\ntoken_file = "token"\n' + config.read_text())
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: served.get("/api/db-status")[0] == 401)
        assert served.get("/api/db-status", {"Authorization": "Bearer s3cret"})[0] == 200


def test_a_bad_file_is_refused_and_the_old_settings_stay(config: Path) -> None:
    good = config.read_text()
    with Served(config) as served:
        config.write_text(f'{good}\n[server]\nallowed_clients = ["x"]\ntoken_file = "none"')
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: served.log.count("reload rejected") == 2)
        assert "reload rejected, keeping the current settings" in served.log
        assert "`allowed_clients` = 'x'" in served.log
        assert names(served) == ["email"]
        config.write_text(good)
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: "reloaded: watching 1 database\n" in served.log)


def reloads(served: Served, config: Path, content: str) -> None:
    """Reload a configuration that works, and see it taken over."""
    config.write_text(content)
    before = served.log.count("reloaded: watching")
    served.process.send_signal(signal.SIGHUP)
    eventually(lambda: served.log.count("reloaded: watching") > before)


BAD: dict[str, Callable[[Path], object]] = {
    "a wrong type": lambda path: path.write_text("server = 3"),
    "no home folder": lambda path: path.write_text('[history]\npath = "~nosuchuser/h.db"'),
    "a duration without end": lambda path: path.write_text(f'[sampler]\ninterval="{"9" * 400}s"'),
    "a number without end": lambda path: path.write_text(f"[server]\nport = {'9' * 5000}"),
    "deep brackets": lambda path: path.write_text(f"x = {'[' * 100_000}"),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a pipe": os.mkfifo,
    "a file without end": lambda path: path.symlink_to("/dev/zero"),
    "nothing": Path.exists,
    "no content": Path.touch,
    "no databases": lambda path: path.write_text("[server]\nport = 3001\n"),
}


def test_no_kind_of_bad_file_ends_the_service_or_keeps_it_from_reading(config: Path) -> None:
    good = config.read_text()
    with Served(config) as served:
        for spoil in BAD.values():
            before = served.log.count("reload rejected")
            config.unlink(missing_ok=True)
            spoil(config)
            served.process.send_signal(signal.SIGHUP)
            eventually(partial(lambda n: served.log.count("reload rejected") > n, before))
        config.write_text(good)
        assert "Traceback" not in served.log
        assert max(map(len, served.log.splitlines())) < 500
        taken_at = served.json("/api/db-status")["takenAt"]
        eventually(lambda: served.json("/api/db-status")["takenAt"] > taken_at)
        reloads(served, config, good)


def test_a_reload_that_fails_halfway_leaves_the_old_settings_reading(config: Path) -> None:
    """The history lacks a table just then: the new settings cannot take up what it remembers."""
    with Served(config) as served, closing(sqlite3.connect(config.with_name("history.db"))) as own:
        own.execute("ALTER TABLE memory RENAME TO elsewhere")
        add_database(config, "health")
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: "reload rejected" in served.log)
        taken_at = served.json("/api/db-status")["takenAt"]
        eventually(lambda: served.json("/api/db-status")["takenAt"] > taken_at)
        assert names(served) == ["email"]
        own.execute("ALTER TABLE elsewhere RENAME TO memory")
        own.commit()
        reloads(served, config, config.read_text())
        assert names(served) == ["email", "health"]


def test_a_reload_during_a_hung_reading_lets_it_go_on(config: Path) -> None:
    """It is rejected; the sampler reads on with the old settings once it can."""
    soon = "from dash_app import sampler; sampler.STOP_SECONDS = 0.5"
    with Served(config, patch=soon) as served:
        with hung(served, kills=False):
            served.process.send_signal(signal.SIGHUP)
            eventually(lambda: "reload rejected" in served.log)
        taken_at = served.json("/api/db-status")["takenAt"]
        eventually(lambda: served.json("/api/db-status")["takenAt"] > taken_at)
        reloads(served, config, config.read_text())


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_text("")])
def test_a_token_that_is_lost_later_still_guards(
    config: Path, lose: Callable[[Path], object]
) -> None:
    """It is read with the settings: no file that is emptied or gone opens a route."""
    token = config.with_name("token")
    token.write_text("s3cret")
    token.chmod(0o600)
    config.write_text('[server]\ntoken_file = "token"\n' + config.read_text())
    with Served(config) as served:
        lose(token)
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: "`token_file` = 'token'" in served.log)
        assert served.get("/api/db-status")[0] == 401
        assert served.get("/api/db-status", {"Authorization": "Bearer s3cret"})[0] == 200


def test_a_terminal_that_hangs_up_ends_it(config: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dash_app", "serve", "--config", str(config)]
    command += ["--address", "loopback", "--port", str(free_port())]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while b"Your own databases" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE_SECONDS) == 0
    os.close(ours)
    os.close(theirs)


def test_many_reloads_are_one_and_an_end_does_not_wait_for_them(config: Path) -> None:
    with Served(config) as served:

        def reloaded() -> bool:
            served.process.send_signal(signal.SIGHUP)
            return served.log.count("reloaded") > 1

        eventually(reloaded)
        assert served.stop() == 0
        assert served.log.count("reloaded") <= 4


def test_a_service_that_has_no_descriptor_left_outlives_a_reload(config: Path) -> None:
    with managed(config) as (served, manager):
        manager.hears("READY=1")
        pid = served.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: "reload rejected" in served.log)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        eventually(served.answers)
