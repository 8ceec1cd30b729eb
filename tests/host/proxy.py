"""An HTTPS proxy that listens only in the network of the machine, which has no other way out."""

import ctypes
import os
import selectors
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

LIBC = ctypes.CDLL(None, use_errno=True)
PORT = 3128


class Tunnel(BaseHTTPRequestHandler):
    """Handles CONNECT only."""

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as far:
            self.send_response(200)
            self.end_headers()
            _forward(self.connection, far)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _forward(near: socket.socket, far: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(near, selectors.EVENT_READ, far)
        selector.register(far, selectors.EVENT_READ, near)
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                data = key.fileobj.recv(1 << 16)
                if not data:
                    return
                key.data.sendall(data)


class Proxy:
    """A proxy in a named network namespace; entering returns its URL."""

    def __init__(self, network: Path) -> None:
        self._network = network
        self._server = ThreadingHTTPServer(("127.0.0.1", PORT), Tunnel, bind_and_activate=False)

    def _listen(self) -> None:
        """Listen in the other network; only this thread enters it."""
        descriptor = os.open(self._network, os.O_RDONLY)
        assert LIBC.setns(descriptor, 0) == 0, os.strerror(ctypes.get_errno())
        os.close(descriptor)
        self._server.socket = socket.create_server(("127.0.0.1", PORT))

    def __enter__(self) -> str:
        entering = Thread(target=self._listen)
        entering.start()
        entering.join()
        Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{PORT}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
