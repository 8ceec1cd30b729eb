"""The addresses that answer: a waitress server each, opened as one appears, closed as it goes."""

from __future__ import annotations

import errno
import logging
import math
import socket
import time
from collections import Counter
from select import select
from threading import Lock, Thread
from typing import TYPE_CHECKING

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer

from dash_app import network
from dash_app.connections import SEND_BUFFER_BYTES, Connection
from dash_app.gate import Gate, Refusals
from dash_app.lanes import Dispatcher
from dash_app.network import PortTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from dash_app.network import Address
    from dash_app.settings.sections import ServerSettings

MAX_CONNECTIONS = 100
"""To one address. Beyond it, the busiest client loses a connection: idle or unread ones first."""

MAX_UNREAD_BYTES = 32_000_000
"""Of answers to one address that wait to be taken. Beyond it, the client with most loses some."""

ACCEPTED_AT_ONCE = 32

SETTLED_SECONDS = 1.0
"""After that time without a byte, a connection is idle, or its answer unread."""

PAUSE_SECONDS, MINUTE_SECONDS = 0.2, 60.0
"""How long no connection is accepted after the system had no descriptor or memory for one.

That is logged again after a minute without it.
"""

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

DRAIN_SECONDS = 3.0
"""How long requests under way may take to be answered once an address is given up."""

NEVER = 1 << 40
"""More bytes than any answer has: no thread waits for room, and nothing goes to a file."""

WAITRESS = {
    "connection_limit": NEVER,  # ours gives way to who comes, waitress's shuts the door
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
    """Waitress at one address, in a thread of its own; what passes its gate is answered."""

    channel_class = Connection

    def __init__(self, listener: socket.socket, gate: Gate, dispatcher: Dispatcher) -> None:
        """Begin to answer at a listening socket."""
        self.gate = gate
        self._is_ending = False
        self._accepts_from = -math.inf
        self._has_come = False
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
        self._thread.start()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.gate(environ, start_response)

    def end(self) -> None:
        """Take no more connections, and answer what is under way."""
        self._is_ending = True
        self.pull_trigger()

    def join(self) -> None:
        """Wait until all is answered, or too late to."""
        self._thread.join(DRAIN_SECONDS + 1)

    def run(self) -> None:
        """Answer until told to end, then finish what is under way."""
        while not self._is_ending:
            self._turn(self.adj.asyncore_loop_timeout)
        ends = time.monotonic() + DRAIN_SECONDS
        while select([self.socket], [], [], 0)[0] and time.monotonic() < ends:
            self._turn(0)  # who has connected already is let in: a closed listener resets them
        wasyncore.dispatcher.close(self)
        while self.active_channels and time.monotonic() < ends:
            self._turn(0.05)  # first of all, to read what has come
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
        """Close what is to be closed, and go on where an answer has been taken.

        Between two turns: within one, a closed connection's descriptor could be a new connection's,
        which would be taken to have said what the old one said.
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
        """Give up answers that nobody takes, oldest first, of the client that has most of them."""
        unread = [one for one in self.active_channels.values() if one.total_outbufs_len]
        while sum(one.total_outbufs_len for one in unread) > MAX_UNREAD_BYTES:
            of_client: Counter[str] = Counter()
            for one in unread:
                of_client[one.client] += one.total_outbufs_len
            worst = max(unread, key=lambda one: (of_client[one.client], -one.last_activity))
            worst.will_close = True
            unread.remove(worst)

    def add_task(self, task: Connection) -> None:
        """Have a request answered, once the client has taken the answer before it."""
        if task.total_outbufs_len:
            task.is_held = True
        else:
            super().add_task(task)

    def readable(self) -> bool:
        """Whether to accept connections now."""
        return bool(super().readable()) and time.monotonic() >= self._accepts_from

    def accept(self) -> tuple[socket.socket, tuple[str, int]] | None:
        """Return a connection and whose it is; who may not ask is hung up on, unheard."""
        self._has_come = False
        try:
            taken: tuple[socket.socket, tuple[str, int]] | None = super().accept()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            now = time.monotonic()
            if now > self._accepts_from + MINUTE_SECONDS:
                log.warning("accepting connections slowly: %s", error.strerror)
            self._accepts_from = now + PAUSE_SECONDS
            self._make_room(1 + len(self.active_channels) // 10)  # others need descriptors too
            return None
        if taken is None:
            return None
        self._has_come = True
        connection, (client, *_) = taken
        # This machine at the very address is told why: so it can know that it serves.
        if self.gate.knows_client(client) or client == connection.getsockname()[0]:
            return taken
        self.gate.note_refused_client(client)
        connection.close()
        return None

    def handle_accept(self) -> None:
        """Take the connections that wait: one per turn would let a crowd keep others out."""
        for _ in range(ACCEPTED_AT_ONCE):
            super().handle_accept()
            if not self._has_come:
                break

    def set_socket_options(self, conn: socket.socket) -> None:
        """Bound what the kernel keeps for a connection."""
        super().set_socket_options(conn)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def maintenance(self, now: float) -> None:
        """Close the connections that nothing came through, or too slowly in either direction."""
        super().maintenance(now)
        for connection in self.active_channels.values():
            connection.will_close |= connection.is_overdue(now)

    def _make_room(self, number: int) -> None:
        """Close connections of the busiest client, the least useful ones first.

        Those are the idle ones, then those with an unread answer, then any; of these the oldest. A
        new one is not idle yet: its request may have arrived and not been read.
        """
        connections = [one for one in self.active_channels.values() if not one.will_close]
        of_client = Counter(one.client for one in connections)
        settled = time.time() - SETTLED_SECONDS

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
        input_of: Callable[[bytes], str] = lambda _: "",
    ) -> None:
        """Begin to answer at sockets that listen already.

        `input_of` is what `lanes.kind_of` takes.
        """
        self._app, self._settings = app, settings
        self._servers: dict[Address, Server] = {}
        self._refusals: dict[Address, str] = {}
        self._refused = Refusals()
        self._dispatcher = Dispatcher(input_of)
        for address, listener in sockets.items():
            self._servers[address] = Server(listener, self._gate(address), self._dispatcher)

    @property
    def addresses(self) -> list[Address]:
        """The addresses that answer."""
        return list(self._servers)

    def use(self, app: WSGIApplication, settings: ServerSettings) -> None:
        """Have the next requests answered by another application, under other rules."""
        self._app, self._settings = app, settings
        gates = {address: self._gate(address) for address in self._servers}
        for address, gate in gates.items():
            self._servers[address].gate = gate
        self.follow()

    def follow(self) -> None:
        """Open the addresses that have come, close those that have gone."""
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
        try:
            listener = network.listen(address, self._settings.port)
        except (PortTakenError, OSError) as error:
            if self._refusals.get(address) != str(error):
                log.error("%s cannot be served: %s", address, error)
            self._refusals[address] = str(error)
            return
        self._refusals.pop(address, None)
        self._servers[address] = Server(listener, self._gate(address), self._dispatcher)
        log.info("serving %s", network.link(address, self._settings.port))
