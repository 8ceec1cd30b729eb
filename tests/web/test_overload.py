"""Clients that read nothing, request too much or come in crowds do not keep others waiting."""

import json
import resource
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from dash_app import settings
from dash_app.history.writer import History
from dash_app.sampler import Sampler
from dash_app.settings.schema import ServerSettings
from dash_app.system import network
from dash_app.web import connection, dispatcher, listeners
from dash_app.web.app import MAX_WAIT_SECONDS, create_server
from dash_app.web.callback_requests import CALLBACKS
from dash_app.web.connection import client_of
from dash_app.web.dispatcher import Dispatcher, RequestKind
from dash_app.web.listeners import Listeners
from tests.harness import (
    PATIENCE_SECONDS,
    Served,
    eventually,
    free_port,
    make_database,
    thousand_descriptors,
    write_config,
)

ANSWER_BYTES = 3_000_000
"""More than the kernel buffers for a connection."""


class Application:
    """Answer /large with many bytes, /api/history when allowed, and all else at once."""

    def __init__(self) -> None:
        self.requested: list[str] = []
        self.may_finish = threading.Event()
        self.lock = threading.Lock()
        self.working = self.max_working = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        self.requested.append(path)
        if path == "/api/history":
            self._work()
        body = b"x" * ANSWER_BYTES if path == "/large" else b"ok"
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def _work(self) -> None:
        with self.lock:
            self.working += 1
            self.max_working = max(self.max_working, self.working)
        self.may_finish.wait()
        with self.lock:
            self.working -= 1


class Running:
    """An application at a port of this machine."""

    def __init__(self, port: int, app: Application, server: listeners.Server) -> None:
        self.port, self.app, self.server = port, app, server

    @property
    def connections(self) -> int:
        return len(self.server.active_channels)

    def has_requests(self, number: int) -> bool:
        return len(self.app.requested) >= number

    def connect(self, requests: bytes = b"") -> socket.socket:
        """Return a connection with a small receive buffer that has sent some requests."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(("127.0.0.1", self.port))
        client.sendall(requests)
        return client

    def get(self, path: str, body: str | None = None) -> bytes:
        """Return the answer to a request over a new connection."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)) as client:
            client.request("GET" if body is None else "POST", path, body)
            return client.getresponse().read()


def request_for(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


@contextmanager
def running() -> Iterator[Running]:
    address, port, app = ip_address("127.0.0.1"), free_port(), Application()
    served = Listeners(app, ServerSettings(port=port), {address: network.listen(address, port)})
    try:
        yield Running(port, app, served._servers[address])
    finally:
        app.may_finish.set()
        served.stop()
        served.join()
        served._dispatcher.set_thread_count(0)


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close slow connections after half a second."""
    monkeypatch.setattr(connection, "UNREAD_SECONDS", 0.5)
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
    monkeypatch.setitem(listeners.WAITRESS, "cleanup_interval", 0)
    monkeypatch.setitem(listeners.WAITRESS, "asyncore_loop_timeout", 1)


def test_unread_answers_occupy_no_thread() -> None:
    """Each connection has one waiting answer, however many it requests at once."""
    with running() as server, ExitStack() as held:
        for _ in range(dispatcher.THREADS + 2):
            held.enter_context(server.connect(request_for("/large") * 8))
        eventually(lambda: server.app.requested.count("/large") >= dispatcher.THREADS + 2)
        assert server.get("/health") == b"ok"
        assert server.app.requested.count("/large") == dispatcher.THREADS + 2


@pytest.mark.usefixtures("short_limits")
def test_a_connection_with_an_unread_answer_is_closed() -> None:
    """Its socket never becomes writable again, and further requests wait behind it."""
    with running() as server, server.connect(request_for("/large") * 8):
        eventually(lambda: server.app.requested)
        eventually(lambda: server.connections == 0)
        assert server.app.requested == ["/large"]


@pytest.mark.usefixtures("short_limits")
def test_slow_clients_are_closed_even_if_the_clock_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = time.time
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
    with (
        running() as server,
        server.connect(b"GET / HT"),
        server.connect(request_for("/large") * 2),
    ):
        eventually(lambda: server.connections == 2)
        monkeypatch.setattr(time, "time", lambda: wall() - 86_400)
        eventually(lambda: server.connections == 0, within=20)


@pytest.mark.usefixtures("short_limits")
def test_a_slowly_read_answer_is_sent_completely() -> None:
    with running() as server, server.connect(request_for("/large")) as slow:
        received = 0
        while received < ANSWER_BYTES:
            received += len(slow.recv(16_384))
        assert received > ANSWER_BYTES


@pytest.mark.usefixtures("short_limits")
def test_a_request_that_never_ends_is_closed() -> None:
    """Each byte keeps a connection alive, but not a request."""
    with running() as server, server.connect() as slow:
        slow.settimeout(0.02)
        answer = None

        def is_closed() -> bool:
            nonlocal answer
            try:
                slow.sendall(b"X")
                answer = slow.recv(4096)
            except TimeoutError:
                return False
            except ConnectionError:
                answer = b""
            return True

        eventually(is_closed)
        assert answer == b""
        assert server.get("/health") == b"ok"


def test_requests_sent_at_once_are_answered_in_order() -> None:
    with (
        running() as server,
        server.connect(request_for("/a") * 500 + request_for("/last")) as client,
    ):
        eventually(lambda: "/last" in server.app.requested)
        assert server.app.requested == ["/a"] * 500 + ["/last"]
        client.shutdown(socket.SHUT_WR)


def test_all_unread_bytes_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "MAX_UNREAD_BYTES", 2 * ANSWER_BYTES)
    with running() as server, ExitStack() as held:
        for _ in range(4):
            held.enter_context(server.connect(request_for("/large")))
        eventually(lambda: len(server.app.requested) == 4 and server.connections == 2)
        assert server.get("/large")  # a client that reads is not affected


def test_connections_with_unread_answers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "MAX_CONNECTIONS", 5)
    with running() as server, ExitStack() as held:
        for number in range(20):
            held.enter_context(server.connect(request_for("/large")))
            eventually(partial(server.has_requests, number + 1))
        assert server.get("/health") == b"ok"
        assert server.connections <= 6


def test_a_new_client_is_answered_while_all_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has sent nothing yet when connections are closed, but does not count as idle."""
    monkeypatch.setattr(listeners, "MAX_CONNECTIONS", 5)
    with running() as server, ExitStack() as held:
        for _ in range(12):
            held.enter_context(server.connect(request_for("/api/history")))
        for _ in range(5):
            assert server.get("/health") == b"ok"
        assert server.connections <= 6


@pytest.mark.parametrize(
    ("header", "status"),
    [("Transfer-Encoding: chunked\r\n", b"501"), ("a: b\r\n" * 200, b"400")],
)
def test_requests_that_take_long_to_parse_are_rejected(header: str, status: bytes) -> None:
    """One thread parses for all: thousands of tiny chunks or fields kept it busy for seconds."""
    with running() as server, server.connect() as client:
        client.sendall(f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n".encode())
        assert client.recv(4096).split()[1] == status


def test_heavy_requests_leave_threads_to_others() -> None:
    """Forty clients request the history; the page and the health check still work."""
    tick = json.dumps({"inputs": [{"id": "tick"}]})
    with running() as server, ExitStack() as held:
        for _ in range(40):
            held.enter_context(server.connect(request_for("/api/history")))
        eventually(lambda: server.app.working == dispatcher.LIMITS["heavy"])
        for path, body in (("/health", None), ("/", None), (CALLBACKS, tick)):
            assert server.get(path, body) == b"ok"
        server.app.may_finish.set()
        eventually(lambda: server.app.requested.count("/api/history") == 40)
        assert server.app.max_working == dispatcher.LIMITS["heavy"]


def test_a_late_answer_does_not_wake_a_stopped_server() -> None:
    """The descriptor that wakes its thread may be another file's by then."""
    with running() as server:
        server.server.stop()
        server.server.join()
        server.server.pull_trigger()


def test_clients_and_kinds_of_requests_take_turns() -> None:
    """A client with many requests waits behind one with few."""
    queue = Dispatcher().queue

    def add(client: str, name: str) -> None:
        waiting: Any = SimpleNamespace(client=client)
        queue.append((waiting, RequestKind("heavy", name)))

    for _ in range(3):
        add("greedy", "/api/history")
    add("modest", "/api/history")
    add("greedy", "charts")
    order = []
    while queue:
        turn: Any = queue.popleft()
        order.append(turn._connection.client)
        queue.running["heavy"] -= 1
    assert order == ["greedy", "modest", "greedy", "greedy", "greedy"]


def test_a_request_that_waited_too_long_is_rejected(tmp_path: Path) -> None:
    loaded = settings.load(write_config(tmp_path, [("a", tmp_path / "a.db")]))
    with closing(History(loaded.history)) as history:
        app = create_server(loaded, Sampler(loaded, history), datetime.now(UTC))
        environ = {connection.WAITED_SECONDS: MAX_WAIT_SECONDS + 0.1}
        rejected = app.test_client().get("/api/history", environ_overrides=environ)
    assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "10")
    assert rejected.json is not None
    assert rejected.json["error"]["code"] == "busy"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("127.0.0.1", "127.9.9.9", True),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_a_machine_with_many_addresses_is_one_client(
    one: str,
    other: str,
    is_same: bool,  # noqa: FBT001
) -> None:
    assert (client_of(one) == client_of(other)) is is_same


def test_an_address_is_served_beyond_a_thousand_descriptors() -> None:
    """As that of Tailscale, which may come back at any time."""
    with thousand_descriptors(), running() as server:
        assert server.server.socket.fileno() > 1024
        assert server.get("/") == b"ok"
        assert server.get("/") == b"ok"


def test_the_service_survives_without_free_descriptors(tmp_path: Path) -> None:
    """It pauses accepting, logs a few lines, and keeps its addresses open."""
    config = write_config(tmp_path, [("a", make_database(tmp_path / "a.db", a=1))])
    with Served(config) as served, ExitStack() as held:
        pid = served.process.pid
        _soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now + 3, hard))
        for _ in range(60):
            client = socket.create_connection(("127.0.0.1", served.port), PATIENCE_SECONDS)
            held.enter_context(client)
        eventually(lambda: "accepting connections slowly" in served.log)
        held.close()
        eventually(served.answers)
        assert "is gone" not in served.log
        assert len(served.log) < 4000
