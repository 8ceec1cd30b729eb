"""Serve every configured address: open those that appear, and close those that disappear."""

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from select import POLLIN, poll
from threading import Lock, Thread
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer

from dash_app.settings.schema import ServerSettings
from dash_app.system import network
from dash_app.system.logging_setup import OncePerHour
from dash_app.system.network import EXHAUSTED, Address, PortTakenError
from dash_app.web.access import AccessControl, Refusals
from dash_app.web.connection import SEND_BUFFER_BYTES, Connection
from dash_app.web.dispatcher import Dispatcher

MAX_CONNECTIONS = 100
"""Maximum number of connections per address."""

MAX_UNREAD_BYTES = 32_000_000
"""Maximum size of all unread answers per address."""

MAX_ACCEPTED_AT_ONCE = 32

SETTLED_SECONDS = 1.0
"""Time without a byte after which a connection counts as idle, or its answer as unread."""

PAUSE_SECONDS = 0.2
"""Pause in accepting connections while the system has no descriptor or memory for them."""

DRAIN_SECONDS = 3.0
"""Maximum time to answer current requests when an address is closed."""

UNLIMITED = 1 << 40
"""No answer has as many bytes: no thread waits for space, and nothing is written to a file."""

WAITRESS = {
    "connection_limit": UNLIMITED,  # waitress's own limit would keep new clients out
    "channel_timeout": 30,
    "cleanup_interval": 5,
    "asyncore_loop_timeout": 5,
    "asyncore_use_poll": True,
    "max_request_body_size": 1 << 16,
    "max_request_header_size": 1 << 14,
    "outbuf_overflow": UNLIMITED,
    "outbuf_high_watermark": UNLIMITED,
    "ident": None,
}
"""Limits, in seconds and bytes, on slow and greedy clients."""

log = logging.getLogger(__name__)


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Waitress at one address, in its own thread, with access control."""

    channel_class = Connection

    def __init__(
        self, listener: socket.socket, access: AccessControl, dispatcher: Dispatcher
    ) -> None:
        """Start to serve a listening socket. Raise RuntimeError if no thread can be started."""
        self.access = access
        self._is_stopping = False
        self._accepts_from = 0.0
        self._once_per_hour = OncePerHour(len(EXHAUSTED) + 1)  # EINVAL, from poll
        self._is_closed, self._trigger_lock = False, Lock()
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
        except RuntimeError:
            wasyncore.close_all(self._map)
            raise

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.access(environ, start_response)

    def stop(self) -> None:
        """Accept no more connections, and answer the current requests."""
        self._is_stopping = True
        self.pull_trigger()

    def join(self) -> None:
        """Wait until all requests are answered, at most `DRAIN_SECONDS`."""
        self._thread.join(DRAIN_SECONDS + 1)

    def run(self) -> None:
        """Serve until stopped, then finish the current requests."""
        while not self._is_stopping:
            self._loop_once(self.adj.asyncore_loop_timeout)
        ends = time.monotonic() + DRAIN_SECONDS
        while self._has_waiting_connection() and time.monotonic() < ends:
            self._loop_once(0)  # closing the listener would reset connections not yet accepted
        wasyncore.dispatcher.close(self)
        while self.active_channels and time.monotonic() < ends:
            self._loop_once(0.05)  # before the check below: it reads requests that have arrived
            for connection in self.active_channels.values():
                connection.will_close |= connection.is_idle and connection.request is None
        with self._trigger_lock:
            self._is_closed = True
        wasyncore.close_all(self._map)

    def pull_trigger(self) -> None:
        """Wake the server's thread, unless it is closed: its descriptor may be another file's."""
        with self._trigger_lock:
            if not self._is_closed:
                super().pull_trigger()

    def _loop_once(self, wait_seconds: float) -> None:
        self._update_connections()
        if time.monotonic() < self._accepts_from:
            wait_seconds = min(wait_seconds, PAUSE_SECONDS)
        try:
            wasyncore.loop(wait_seconds, self.adj.asyncore_use_poll, self._map, count=1)
        except OSError as error:  # poll: no memory, or more connections than a lowered limit allows
            if self._once_per_hour.allows(error.errno):
                log.warning("waiting for requests fails: %s", error.strerror)
            time.sleep(PAUSE_SECONDS)

    def _update_connections(self) -> None:
        """Enforce the limits, close connections, and continue those whose client read its answer.

        Between two loops only: within one, a new connection could reuse the descriptor of a closed
        one and receive events meant for it.
        """
        open_now = self._open_connections()
        unread_bytes = sum(connection.total_outbufs_len for connection in open_now)
        self._close_greediest(unread_bytes - MAX_UNREAD_BYTES, lambda c: c.total_outbufs_len)
        self._close_greediest(len(self._open_connections()) - MAX_CONNECTIONS, lambda _: 1)
        for connection in list(self.active_channels.values()):
            if connection.will_close:
                connection.close_now()
            elif connection.waits_for_client and not connection.total_outbufs_len:
                connection.waits_for_client = False
                super().add_task(connection)

    def _open_connections(self) -> list[Connection]:
        return [c for c in self.active_channels.values() if not c.will_close]

    def _close_greediest(self, excess: int, cost: Callable[[Connection], int]) -> None:
        """Close connections of the client with the highest total cost, until the excess is gone.

        Idle ones first, then unread ones, then the oldest. A new one is not idle yet, because its
        request may have arrived without having been read.
        """
        connections = [connection for connection in self._open_connections() if cost(connection)]
        of_client: Counter[str] = Counter()
        for connection in connections:
            of_client[connection.client] += cost(connection)
        settled = time.monotonic() - SETTLED_SECONDS

        def rank(connection: Connection) -> tuple[int, bool, bool, float]:
            is_settled = connection.last_activity < settled
            is_unread = is_settled and bool(connection.total_outbufs_len)
            is_idle = is_settled and connection.is_idle
            return of_client[connection.client], is_idle, is_unread, -connection.last_activity

        while excess > 0 and connections:
            worst = max(connections, key=rank)
            worst.will_close = True
            connections.remove(worst)
            of_client[worst.client] -= cost(worst)
            excess -= cost(worst)

    def add_task(self, task: Connection) -> None:
        """Queue a request, once the client has read the previous answer."""
        if task.total_outbufs_len:
            task.waits_for_client = True
        else:
            super().add_task(task)

    def readable(self) -> bool:
        """Whether to accept connections now."""
        return bool(super().readable()) and time.monotonic() >= self._accepts_from

    def accept(self) -> tuple[socket.socket, tuple[str, int]] | None:
        """Return a new connection and its client; close it at once if the client is not allowed."""
        try:
            accepted: tuple[socket.socket, tuple[str, int]] | None = super().accept()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            if self._once_per_hour.allows(error.errno):
                log.warning("accepting connections slowly: %s", error.strerror)
            self._accepts_from = time.monotonic() + PAUSE_SECONDS
            # Other parts of the service need descriptors too.
            self._close_greediest(1 + len(self.active_channels) // 10, lambda _: 1)
            return None
        if accepted is None:
            return None
        connection, (client, *_) = accepted
        # A client at the served address itself, such as `doctor`, gets the reason as an answer.
        if self.access.allows_client(client) or client == connection.getsockname()[0]:
            return accepted
        self.access.record_refused_client(client)
        connection.close()
        return None

    def handle_accept(self) -> None:
        """Accept several waiting connections: at one per loop, a crowd would keep others out."""
        for _ in range(MAX_ACCEPTED_AT_ONCE):
            super().handle_accept()
            if not (self.readable() and self._has_waiting_connection()):
                break

    def _has_waiting_connection(self) -> bool:
        waiting = poll()  # select(2) fails for descriptors of 1,024 and more
        waiting.register(self.socket, POLLIN)
        return bool(waiting.poll(0))

    def set_socket_options(self, conn: socket.socket) -> None:
        """Limit the send buffer of a connection."""
        super().set_socket_options(conn)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def maintenance(self, now: float) -> None:
        """Close connections that are idle for too long, or too slow in either direction."""
        super().maintenance(now)
        for connection in self.active_channels.values():
            connection.will_close |= connection.is_overdue(now)


class Listeners:
    """One server per address. Use it in one thread only."""

    def __init__(
        self,
        app: WSGIApplication,
        settings: ServerSettings,
        sockets: Mapping[Address, socket.socket],
    ) -> None:
        """Start to serve listening sockets."""
        self._app, self._settings = app, settings
        self._servers: dict[Address, Server] = {}
        self._logged_errors: dict[Address, str] = {}
        self._refusals = Refusals()
        self._dispatcher = Dispatcher()
        for address, listener in sockets.items():
            self._servers[address] = Server(listener, self._access(address), self._dispatcher)

    @property
    def addresses(self) -> list[Address]:
        """The addresses that are served."""
        return list(self._servers)

    def reload(self, app: WSGIApplication, settings: ServerSettings) -> None:
        """Serve the next requests with another application and settings."""
        self._app, self._settings = app, settings
        access = {address: self._access(address) for address in self._servers}
        for address, server in self._servers.items():
            server.access = access[address]
        self.sync_addresses()

    def sync_addresses(self) -> None:
        """Open addresses that appeared, and close those that disappeared."""
        try:
            wanted = network.addresses_to_bind(self._settings.addresses)
        except OSError as error:  # no descriptor is left
            log.warning("addresses cannot be read: %s", error)
            return
        for address in self._servers.keys() - set(wanted):
            self._servers.pop(address).stop()
            log.info("%s is gone: closed", address)
        for address in wanted:
            if address not in self._servers:
                self._open(address)

    def stop(self) -> None:
        """Accept no more requests, and answer the current ones."""
        for server in self._servers.values():
            server.stop()

    def join(self) -> None:
        """Wait until the current requests are answered."""
        for server in self._servers.values():
            server.join()

    def _access(self, address: Address) -> AccessControl:
        return AccessControl(self._app, self._settings, address, self._refusals)

    def _open(self, address: Address) -> None:
        with ExitStack() as stack:
            try:
                listener = stack.enter_context(network.listen(address, self._settings.port))
                server = Server(listener, self._access(address), self._dispatcher)
            except (PortTakenError, OSError, RuntimeError) as error:
                if self._logged_errors.get(address) != str(error):
                    log.error("%s cannot be served: %s", address, error)
                self._logged_errors[address] = str(error)
                return
            stack.pop_all()
        self._logged_errors.pop(address, None)
        self._servers[address] = server
        log.info("serving %s", network.page_url(address, self._settings.port))
