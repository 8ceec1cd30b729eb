"""A neighbour of the machine: a name server, and a web server that accepts every request.

Prints one line per request, with its method, path and body.
"""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

ADDRESS = sys.argv[1]


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(self.command, self.path, body.decode(), flush=True)  # noqa: T201
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def serve_names() -> None:
    """Answer every query for an IPv4 address with our own; other queries get no records."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names:
        names.bind((ADDRESS, 53))
        while True:
            query, client = names.recvfrom(512)
            question = query[12 : query.index(0, 12) + 5]
            is_version_4 = question[-4:-2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(ADDRESS)
            head = query[:2] + b"\x81\x80\0\1\0" + bytes([is_version_4]) + bytes(4)
            names.sendto(head + question + (answer if is_version_4 else b""), client)


Thread(target=serve_names, daemon=True).start()
ThreadingHTTPServer((ADDRESS, 80), Web).serve_forever()
