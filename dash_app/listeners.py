"""The addresses that answer: a waitress server each, opened as one appears, closed as it goes."""

from __future__ import annotations

import logging
import time
from collections import Counter
from select import select
from threading import Thread
from typing import TYPE_CHECKING

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from dash_app import network
from dash_app.gate import Gate
from dash_app.network import PortTakenError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from dash_app.network import Address
    from dash_app.settings.sections import ServerSettings

THREADS = 8
"""They answer for all addresses: a page load opens six connections."""

MAX_CONNECTIONS = 100
"""To one address; for more, the longest idle one of the client that has most is closed."""

REQUEST_SECONDS = 10
"""A request must have arrived whole by then: one byte a second must not hold a connection."""

DRAIN_SECONDS = 3.0
"""How long requests under way may take to be answered once an address is given up."""

WAITRESS = {
    "connection_limit": 2 * MAX_CONNECTIONS,  # of requests that are being answered
    "channel_timeout": 30,
    "cleanup_interval": 5,
    "asyncore_loop_timeout": 5,
    "asyncore_use_poll": True,
    "max_request_body_size": 1 << 16,
    "max_request_header_size": 1 << 14,
    "ident": None,
}
"""Limits, in seconds and bytes, so that slow or greedy clients cannot hold the service."""

log = logging.getLogger(__name__)


class Connection(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when a request has been coming in."""

    request_since = 0.0

    def received(self, data: bytes) -> bool:
        """Take what arrived; return whether there was anything."""
        if self.request is None:
            self.request_since = time.time()
        return bool(super().received(data))

    @property
    def is_idle(self) -> bool:
        """Whether no whole request waits for its answer, nor an answer to be sent."""
        return not (self.requests or self.total_outbufs_len)

    def is_overdue(self, now: float) -> bool:
        """Whether its request takes too long to arrive."""
        is_coming = self.request is not None and self.is_idle
        return is_coming and self.request_since < now - REQUEST_SECONDS


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Waitress at one address, in a thread of its own; what passes its gate is answered."""

    channel_class = Connection

    def __init__(
        self, listener: socket.socket, gate: Gate, dispatcher: ThreadedTaskDispatcher
    ) -> None:
        """Begin to answer at a listening socket."""
        self.gate = gate
        self._is_ending = False
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
        wasyncore.close_all(self._map)

    def _turn(self, wait_seconds: float) -> None:
        wasyncore.loop(wait_seconds, self.adj.asyncore_use_poll, self._map, count=1)

    def accept(self) -> tuple[socket.socket, tuple[str, int]] | None:
        """Return a connection and whose it is; who may not ask is hung up on, unheard."""
        taken: tuple[socket.socket, tuple[str, int]] | None = super().accept()
        if taken is None:
            return None
        connection, (client, *_) = taken
        # This machine at the very address is told why: so it can know that it serves.
        if self.gate.knows_client(client) or client == connection.getsockname()[0]:
            return taken
        connection.close()
        return None

    def handle_accept(self) -> None:
        """Take a connection, at the cost of an idle one when there are too many."""
        if len(self.active_channels) >= MAX_CONNECTIONS:
            self._make_room()
        super().handle_accept()

    def maintenance(self, now: float) -> None:
        """Close the connections that nothing came through, or too slowly."""
        super().maintenance(now)
        for connection in self.active_channels.values():
            connection.will_close |= connection.is_overdue(now)

    def _make_room(self) -> None:
        connections = list(self.active_channels.values())
        of_client = Counter(connection.addr[0] for connection in connections)
        idle = [one for one in connections if one.is_idle and not one.will_close]
        if idle:
            # Closed at the next turn: at once, its descriptor would be the new connection's, which
            # would be taken to have said what the old one said in this turn.
            max(
                idle, key=lambda one: (of_client[one.addr[0]], -one.last_activity)
            ).will_close = True


class Listeners:
    """A server for each address that there is now. For one thread."""

    def __init__(
        self,
        app: WSGIApplication,
        settings: ServerSettings,
        sockets: Mapping[Address, socket.socket],
    ) -> None:
        """Begin to answer at sockets that listen already."""
        self._app, self._settings = app, settings
        self._servers: dict[Address, Server] = {}
        self._refusals: dict[Address, str] = {}
        self._dispatcher = ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(THREADS)
        for address, listener in sockets.items():
            self._servers[address] = Server(listener, self._gate(address), self._dispatcher)

    @property
    def addresses(self) -> list[Address]:
        """The addresses that answer."""
        return list(self._servers)

    def use(self, app: WSGIApplication, settings: ServerSettings) -> None:
        """Have the next requests answered by another application, under other rules."""
        gates = {address: Gate(app, settings, address) for address in self._servers}
        self._app, self._settings = app, settings
        for address, gate in gates.items():
            self._servers[address].gate = gate
        self.follow()

    def follow(self) -> None:
        """Open the addresses that have come, close those that have gone."""
        wanted = network.addresses_to_bind(self._settings.addresses)
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
        return Gate(self._app, self._settings, address)

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
