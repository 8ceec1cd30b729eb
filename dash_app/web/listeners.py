"""The addresses that answer: a waitress server each, opened as one appears, closed as it goes."""

from __future__ import annotations

import logging
import math
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from select import select
from threading import Lock, Thread
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer

from dash_app.settings.schema import ServerSettings
from dash_app.system import network
from dash_app.system.network import EXHAUSTED, Address, PortTakenError
from dash_app.web.access import Gate, Refusals
from dash_app.web.connections import SEND_BUFFER_BYTES, Connection
from dash_app.web.lanes import Dispatcher

MAX_CONNECTIONS = 100
"""Per address. Beyond it, the busiest client loses connections: first idle, then unread ones."""

MAX_UNREAD_BYTES = 32_000_000
"""Maximum size of unread answers per address. Beyond it, the client with most loses some."""

MAX_ACCEPTED_AT_ONCE = 32

SETTLED_SECONDS = 1.0
"""After that time without a byte, a connection is idle, or its answer unread."""

PAUSE_SECONDS, LOG_AGAIN_SECONDS = 0.2, 60.0
"""The pause in accepting after the system had no descriptor or memory for a connection.

It is logged once, and again if none was needed for a minute.
"""

DRAIN_SECONDS = 3.0
"""How long requests under way may take to be answered once an address is given up."""

NEVER = 1 << 40
"""More bytes than any answer has: no thread waits for room, and nothing goes to a file."""

WAITRESS = {
    "connection_limit": NEVER,  # waitress's would keep new clients out
    "channel_timeout": 30,
    "cleanup_interval": 5,
    "asyncore_loop_timeout": 5,
    "asyncore_use_poll": True,
    "max_request_body_size": 1 << 16,
    "max_request_header_size": 1 << 14,
    "outbuf_overflow": NEVER,
    "outbuf_high_watermark": NEVER,
    "ident": None,
}
"""Limits, in seconds and bytes, so that slow or greedy clients cannot hold the service."""

log = logging.getLogger(__name__)


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Waitress at one address, in a thread of its own, behind a gate."""

    channel_class = Connection

    def __init__(self, listener: socket.socket, gate: Gate, dispatcher: Dispatcher) -> None:
        """Start to answer at a listening socket."""
        self.gate = gate
        self._is_ending = False
        self._accepts_from = -math.inf
        self._is_over, self._trigger_lock = False, Lock()
        place = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(
            self._answer,
            map={},
            _sock=listener,
            dispatcher=dispatcher,
            adj=Adjustments(**WAITRESS),
            sockinfo=place,
            bind_socket=False,
        )
        self._thread = Thread(target=self.run, name=str(place[3][0]), daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread is left
            wasyncore.close_all(self._map)
            raise

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.gate(environ, start_response)

    def end(self) -> None:
        """Take no more connections, and answer what is under way."""
        self._is_ending = True
        self.pull_trigger()

    def join(self) -> None:
        """Wait until every request is answered, for `DRAIN_SECONDS` at most."""
        self._thread.join(DRAIN_SECONDS + 1)

    def run(self) -> None:
        """Answer until told to end, then finish what is under way."""
        while not self._is_ending:
            self._turn(self.adj.asyncore_loop_timeout)
        ends = time.monotonic() + DRAIN_SECONDS
        while self._is_waited_for() and time.monotonic() < ends:
            self._turn(0)  # closing the listener would reset connections that wait to be accepted
        wasyncore.dispatcher.close(self)
        while self.active_channels and time.monotonic() < ends:
            self._turn(0.05)  # first, to read requests that have arrived
            for connection in self.active_channels.values():
                connection.will_close |= connection.is_idle and connection.request is None
        with self._trigger_lock:
            self._is_over = True
        wasyncore.close_all(self._map)

    def pull_trigger(self) -> None:
        """Wake the server's thread, unless it has ended: its descriptor may be another file's."""
        with self._trigger_lock:
            if not self._is_over:
                super().pull_trigger()

    def _turn(self, wait_seconds: float) -> None:
        self._tend()
        if time.monotonic() < self._accepts_from:
            wait_seconds = min(wait_seconds, PAUSE_SECONDS)
        wasyncore.loop(wait_seconds, self.adj.asyncore_use_poll, self._map, count=1)

    def _tend(self) -> None:
        """Close connections, and continue those whose client has read its answer.

        Between two turns: within a turn, a new connection could reuse the descriptor of a closed
        one and receive events meant for it.
        """
        self._bound_unread()
        if len(self.active_channels) > MAX_CONNECTIONS:
            self._make_room(len(self.active_channels) - MAX_CONNECTIONS)
        for connection in list(self.active_channels.values()):
            if connection.will_close:
                connection.close_now()
            elif connection.is_held and not connection.total_outbufs_len:
                connection.is_held = False
                super().add_task(connection)

    def _bound_unread(self) -> None:
        """Drop unread answers beyond the limit: of the client with most of them, the oldest."""
        unread = [one for one in self.active_channels.values() if one.total_outbufs_len]
        while sum(one.total_outbufs_len for one in unread) > MAX_UNREAD_BYTES:
            of_client: Counter[str] = Counter()
            for one in unread:
                of_client[one.client] += one.total_outbufs_len
            worst = max(unread, key=lambda one: (of_client[one.client], -one.last_activity))
            worst.will_close = True
            unread.remove(worst)

    def add_task(self, task: Connection) -> None:
        """Queue a request, once the client has read the previous answer."""
        if task.total_outbufs_len:
            task.is_held = True
        else:
            super().add_task(task)

    def readable(self) -> bool:
        """Whether to accept connections now."""
        return bool(super().readable()) and time.monotonic() >= self._accepts_from

    def accept(self) -> tuple[socket.socket, tuple[str, int]] | None:
        """Return a connection with its client; close it at once if that client is not allowed."""
        try:
            taken: tuple[socket.socket, tuple[str, int]] | None = super().accept()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            now = time.monotonic()
            if now > self._accepts_from + LOG_AGAIN_SECONDS:
                log.warning("accepting connections slowly: %s", error.strerror)
            self._accepts_from = now + PAUSE_SECONDS
            self._make_room(1 + len(self.active_channels) // 10)  # others need descriptors too
            return None
        if taken is None:
            return None
        connection, (client, *_) = taken
        # A client at the served address itself, such as `doctor`, gets the reason as an answer.
        if self.gate.knows_client(client) or client == connection.getsockname()[0]:
            return taken
        self.gate.note_refused_client(client)
        connection.close()
        return None

    def handle_accept(self) -> None:
        """Accept waiting connections: with one per turn, a crowd would keep others out."""
        for _ in range(MAX_ACCEPTED_AT_ONCE):
            super().handle_accept()
            if not (self.readable() and self._is_waited_for()):
                break

    def _is_waited_for(self) -> bool:
        """Whether a connection waits to be accepted."""
        return bool(select([self.socket], [], [], 0)[0])

    def set_socket_options(self, conn: socket.socket) -> None:
        """Limit the send buffer of a connection."""
        super().set_socket_options(conn)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def maintenance(self, now: float) -> None:
        """Close connections that are idle for too long, or too slow in either direction."""
        super().maintenance(now)
        for connection in self.active_channels.values():
            connection.will_close |= connection.is_overdue(now)

    def _make_room(self, number: int) -> None:
        """Close connections of the busiest client: idle ones, then unread ones, then the oldest.

        A new one is not idle yet: its request may have arrived and not been read.
        """
        connections = [one for one in self.active_channels.values() if not one.will_close]
        of_client = Counter(one.client for one in connections)
        settled = time.monotonic() - SETTLED_SECONDS

        def rank(one: Connection) -> tuple[int, bool, bool, float]:
            is_old, is_unread = one.last_activity < settled, bool(one.total_outbufs_len)
            use = (is_old and one.is_idle, is_old and is_unread)
            return (of_client[one.client], *use, -one.last_activity)

        for _ in range(min(number, len(connections))):
            worst = max(connections, key=rank)
            worst.will_close = True
            connections.remove(worst)
            of_client[worst.client] -= 1


class Listeners:
    """A server for each address that there is now. For one thread."""

    def __init__(
        self,
        app: WSGIApplication,
        settings: ServerSettings,
        sockets: Mapping[Address, socket.socket],
    ) -> None:
        """Start to answer at sockets that listen already."""
        self._app, self._settings = app, settings
        self._servers: dict[Address, Server] = {}
        self._refusals: dict[Address, str] = {}
        self._refused = Refusals()
        self._dispatcher = Dispatcher()
        for address, listener in sockets.items():
            self._servers[address] = Server(listener, self._gate(address), self._dispatcher)

    @property
    def addresses(self) -> list[Address]:
        """The addresses that answer."""
        return list(self._servers)

    def use(self, app: WSGIApplication, settings: ServerSettings) -> None:
        """Answer the next requests with another application and settings."""
        self._app, self._settings = app, settings
        gates = {address: self._gate(address) for address in self._servers}
        for address, gate in gates.items():
            self._servers[address].gate = gate
        self.follow()

    def follow(self) -> None:
        """Open addresses that appeared, and close those that disappeared."""
        try:
            wanted = network.addresses_to_bind(self._settings.addresses)
        except OSError as error:  # no descriptor is left to ask with
            log.warning("addresses cannot be read: %s", error)
            return
        for address in self._servers.keys() - set(wanted):
            self._servers.pop(address).end()
            log.info("%s is gone: closed", address)
        for address in wanted:
            if address not in self._servers:
                self._open(address)

    def end(self) -> None:
        """Take no more requests; those under way are finished."""
        for server in self._servers.values():
            server.end()

    def join(self) -> None:
        """Wait until they are."""
        for server in self._servers.values():
            server.join()

    def _gate(self, address: Address) -> Gate:
        return Gate(self._app, self._settings, address, self._refused)

    def _open(self, address: Address) -> None:
        with ExitStack() as opened:
            try:
                listener = opened.enter_context(network.listen(address, self._settings.port))
                server = Server(listener, self._gate(address), self._dispatcher)
            except (PortTakenError, OSError, RuntimeError) as error:
                if self._refusals.get(address) != str(error):
                    log.error("%s cannot be served: %s", address, error)
                self._refusals[address] = str(error)
                return
            opened.pop_all()
        self._refusals.pop(address, None)
        self._servers[address] = server
        log.info("serving %s", network.link(address, self._settings.port))
