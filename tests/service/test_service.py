"""The life cycle of the service: signals, reloads and systemd."""

import ctypes
import json
import os
import pty
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.harness import (
    PATIENCE_SECONDS,
    Poller,
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
    """Return a connection that has received the beginning of a large answer."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(PATIENCE_SECONDS)
    reader.connect(("127.0.0.1", served.port))
    reader.sendall(f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert reader.recv(12) == b"HTTP/1.1 200"
    return reader


def test_stopping_finishes_current_answers(config: Path) -> None:
    """No client gets half a file or a reset, and idle connections delay nothing."""
    patient = "from dash_app.web import listeners; listeners.DRAIN_SECONDS = 60.0"
    with Served(config, patch=patient) as served, closing(slow_reader(served)) as reader:
        idle = socket.create_connection(("127.0.0.1", served.port))
        unfinished = HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_SECONDS)
        unfinished.putrequest("POST", "/_dash-update-component")
        unfinished.putheader("Content-Type", "text/plain")
        unfinished.putheader("Content-Length", "2")
        unfinished.endheaders(b"{")
        served.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        unfinished.send(b"}")
        assert unfinished.getresponse().status == 415
        received = bytearray()
        while part := reader.recv(1 << 16):
            received += part
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        (length,) = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
        assert len(body) == int(length.split()[1]) > 1_000_000
        assert served.process.wait(PATIENCE_SECONDS) == 0
        assert served.log.splitlines()[-1] == "INFO dash_app.cli.serve: stopped"


def test_stopping_does_not_wait_for_clients_that_never_read(config: Path) -> None:
    soon = "from dash_app.web import listeners; listeners.DRAIN_SECONDS = 0.5"
    with Served(config, patch=soon) as served, closing(slow_reader(served)):
        assert served.stop() == 0


class Manager:
    """Receives what the service reports to systemd."""

    def __init__(self, path: Path) -> None:
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096).decode():
            self.messages.append(message)

    def count(self, message: str) -> int:
        return self.messages.count(message)

    def await_message(self, message: str, *, more_than: int = 0) -> int:
        return eventually(lambda: self.count(message) > more_than and self.count(message))


@contextmanager
def managed(config: Path) -> Iterator[tuple[Served, Manager]]:
    """Serve under a manager with a watchdog timeout of three seconds."""
    path = config.with_name("notify")
    manager = Manager(path)
    with Served(config, NOTIFY_SOCKET=str(path), WATCHDOG_USEC="3000000") as served:
        yield served, manager


def test_readiness_links_and_watchdog_are_reported_to_systemd(config: Path) -> None:
    with managed(config) as (served, manager):
        manager.await_message("READY=1")
        manager.await_message(f"STATUS=Serving http://127.0.0.1:{served.port}/")
        pings = manager.await_message("WATCHDOG=1")
        manager.await_message("WATCHDOG=1", more_than=pings)
        served.stop()
    assert manager.messages[-1] == "STOPPING=1"


def started_at(thread: int) -> tuple[int, int]:
    """Return a key that orders threads by start: clock ticks, then id. See proc(5)."""
    _name, _, rest = Path(f"/proc/{thread}/stat").read_text().rpartition(")")
    return int(rest.split()[19]), thread


def context_switches(pid: int, thread: int) -> list[str]:
    status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
    return re.findall(r"ctxt_switches:\t(\d+)", status)


@contextmanager
def hung(served: Served, *, kills: bool = True) -> Iterator[None]:
    """Stop the first thread that a service started; at the end, kill the service or continue it.

    It is stopped in its pause between two readings: while it works, it holds locks that the other
    threads need. If it then holds the interpreter's lock after all, it is continued for a moment.
    """
    pid = served.process.pid
    libc = ctypes.CDLL(None, use_errno=True)
    # By start time, because thread ids start again after 32,768, which the whole suite reaches.
    threads = {int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()} - {pid}
    thread = min(threads, key=started_at)

    def trace(request: int) -> None:
        assert libc.ptrace(request, thread, None, None) == 0, os.strerror(ctypes.get_errno())

    def pauses() -> bool:
        """Whether it does not run for 50 ms. For the interpreter's lock, it asks every 5 ms."""
        before = context_switches(pid, thread)
        time.sleep(0.05)
        return context_switches(pid, thread) == before

    def is_stopped_alone() -> bool:
        eventually(pauses)
        trace(PTRACE_INTERRUPT)
        os.waitpid(thread, WALL)
        if served.answers(within=2):
            return True
        trace(PTRACE_CONT)
        return False

    trace(PTRACE_SEIZE)
    try:
        eventually(is_stopped_alone)
        yield
    finally:
        if kills:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(thread, WALL)
        else:
            assert libc.ptrace(PTRACE_DETACH, thread, None, None) == 0


def test_a_hung_sampler_stops_the_watchdog_pings(config: Path) -> None:
    """Systemd then restarts the service; until then the page shows its age."""
    with managed(config) as (served, manager):
        manager.await_message("WATCHDOG=1")
        with hung(served):
            eventually(lambda: "readings have stalled" in served.log)
            eventually(lambda: served.get("/health") == (503, "not reading\n"))
            pings = manager.count("WATCHDOG=1")
            before = served.log.count("readings have stalled")
            eventually(lambda: served.log.count("readings have stalled") > before)
            assert manager.count("WATCHDOG=1") == pings


def test_a_reload_applies_new_settings_without_losing_a_request(config: Path) -> None:
    with managed(config) as (served, manager):
        with Poller(served) as poller:
            add_database(config, "health")
            text = config.read_text().replace("[history]", '[history]\nretention = "9d"')
            config.write_text(text)
            served.process.send_signal(signal.SIGHUP)
            eventually(lambda: "reloaded" in served.log)
            assert names(served) == ["email", "health"]
            eventually(lambda: served.database("health")["rowCounts"] == {"rows": 7})
        assert set(poller.statuses) == {200}
        line = (
            "INFO dash_app.service.service: "
            "reloaded: watching 2 databases; restart to apply [history]"
        )
        assert line in served.log.splitlines()
        (reloading,) = [text for text in manager.messages if text.startswith("RELOADING=1\n")]
        eventually(lambda: "READY=1" in manager.messages[manager.messages.index(reloading) :])


def test_a_reload_applies_a_token(config: Path) -> None:
    token = config.with_name("token")
    token.write_text("s3cret\n")
    token.chmod(0o600)
    with Served(config) as served:
        assert served.get("/api/db-status")[0] == 200
        config.write_text('[server]\ntoken_file = "token"\n' + config.read_text())
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: served.get("/api/db-status")[0] == 401)
        assert served.get("/api/db-status", {"Authorization": "Bearer s3cret"})[0] == 200


def test_an_unusable_file_is_rejected_and_the_settings_stay(config: Path) -> None:
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
    """Reload a usable configuration and wait until it is applied."""
    config.write_text(content)
    before = served.log.count("reloaded: watching")
    served.process.send_signal(signal.SIGHUP)
    eventually(lambda: served.log.count("reloaded: watching") > before)


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "a wrong type": lambda path: path.write_text("server = 3"),
    "no home folder": lambda path: path.write_text('[history]\npath = "~nosuchuser/h.db"'),
    "an endless duration": lambda path: path.write_text(f'[sampler]\ninterval="{"9" * 400}s"'),
    "an endless number": lambda path: path.write_text(f"[server]\nport = {'9' * 5000}"),
    "deep brackets": lambda path: path.write_text(f"x = {'[' * 100_000}"),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a pipe": os.mkfifo,
    "an endless file": lambda path: path.symlink_to("/dev/zero"),
    "nothing": Path.exists,
    "no content": Path.touch,
    "no databases": lambda path: path.write_text("[server]\nport = 3001\n"),
}


def test_no_unusable_file_stops_the_service_or_its_readings(config: Path) -> None:
    good = config.read_text()
    with Served(config) as served:
        for spoil in UNUSABLE.values():
            before = served.log.count("reload rejected")
            config.unlink(missing_ok=True)
            spoil(config)
            served.process.send_signal(signal.SIGHUP)
            eventually(partial(lambda n: served.log.count("reload rejected") > n, before))
        config.write_text(good)
        assert "Traceback" not in served.log
        assert max(map(len, served.log.splitlines())) < 500
        served.await_tick()
        reloads(served, config, good)


def test_after_a_half_failed_reload_the_old_settings_apply(config: Path) -> None:
    """The history temporarily lacks a table, so its state cannot be loaded."""
    with Served(config) as served, closing(sqlite3.connect(config.with_name("history.db"))) as own:
        own.execute("ALTER TABLE memory RENAME TO elsewhere")
        add_database(config, "health")
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: "reload rejected" in served.log)
        served.await_tick()
        assert names(served) == ["email"]
        own.execute("ALTER TABLE elsewhere RENAME TO memory")
        own.commit()
        reloads(served, config, config.read_text())
        assert names(served) == ["email", "health"]


def test_readings_continue_once_there_is_a_thread_for_them(config: Path) -> None:
    """A reload ends the sampler's thread, and meanwhile others may have taken the last one."""
    without = """
import threading
start, failures = threading.Thread.start, [False, True, True]
def start_if_possible(thread):
    if thread.name == "sampler" and failures and failures.pop(0):
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = start_if_possible
"""
    with Served(config, patch=without.strip()) as served:
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: served.log.count("readings cannot continue yet") == 1)
        served.await_tick()


def test_a_reload_during_a_hung_reading_is_rejected(config: Path) -> None:
    """The sampler continues with the old settings once it can."""
    soon = "from dash_app import sampler; sampler.STOP_SECONDS = 0.5"
    with Served(config, patch=soon) as served:
        with hung(served, kills=False):
            served.process.send_signal(signal.SIGHUP)
            eventually(lambda: "reload rejected" in served.log)
        served.await_tick()

        def has_reloaded() -> bool:
            """Reload once more. On a busy machine, a reading may take longer than 0.5 s."""
            rejections = served.log.count("reload rejected")
            served.process.send_signal(signal.SIGHUP)
            done = "reloaded: watching"
            eventually(
                lambda: done in served.log or served.log.count("reload rejected") > rejections
            )
            return done in served.log

        eventually(has_reloaded)


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_text("")])
def test_a_token_whose_file_is_lost_later_still_protects(
    config: Path, lose: Callable[[Path], object]
) -> None:
    """It is read with the settings: a missing or empty file opens no route."""
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


def test_closing_the_terminal_stops_the_service(config: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dash_app", "serve", "--config", str(config)]
    command += ["--address", "loopback", "--port", str(free_port())]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while b"http:" not in (line := process.stdout.readline()):
            assert line
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE_SECONDS) == 0
    os.close(ours)
    os.close(theirs)


def test_many_reloads_count_as_one_and_stopping_does_not_wait_for_them(config: Path) -> None:
    with Served(config) as served:

        def reloaded() -> bool:
            served.process.send_signal(signal.SIGHUP)
            return served.log.count("reloaded") > 1

        eventually(reloaded)
        assert served.stop() == 0
        assert served.log.count("reloaded") <= 4


def test_a_service_without_free_descriptors_survives_a_reload(config: Path) -> None:
    with managed(config) as (served, manager):
        manager.await_message("READY=1")
        pid = served.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with ExitStack() as stack:
            # poll refuses more descriptors than the limit: `EINVAL` in poll(2).
            for _ in range(3):
                stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            eventually(served.answers)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
            served.process.send_signal(signal.SIGHUP)
            eventually(lambda: "reload rejected" in served.log)
            eventually(lambda: "waiting for requests fails" in served.log)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        eventually(served.answers)
