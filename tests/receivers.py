"""Receivers of notifications: real servers on this machine that can be stopped and started."""

import json
from collections.abc import Callable
from email import message_from_string, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer, StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import Any, ClassVar, Self

from tests.harness import PATIENCE_SECONDS, eventually, free_port


class Receiver:
    """A server on its own port. `received` has the title and text of each notification."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[tuple[str, str]] = []
        self.answers = Event()
        self.answers.set()
        self._server: BaseServer | None = None

    def make(self) -> BaseServer:
        """Return the server, not yet running."""
        raise NotImplementedError

    def start(self) -> Self:
        self._server = self.make()
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.answers.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._server = None

    def await_received(self, count: int) -> list[tuple[str, str]]:
        """Wait until `count` notifications were received in total; return them."""
        eventually(lambda: len(self.received) >= count)
        assert len(self.received) == count, self.received
        return self.received

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Phone(Receiver):
    """Receives Apprise's json:// notifications and responds with `code` once `answers` is set."""

    code = 200
    max_characters: int | None = None
    """Maximum length of a notification; longer ones get the response 400."""

    def make(self) -> BaseServer:
        phone = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                is_long = phone.max_characters and len(body["message"]) > phone.max_characters
                code = 400 if is_long else phone.code
                if code == 200:
                    phone.received.append((body["title"], body["message"]))
                phone.answers.wait(PATIENCE_SECONDS)
                self.send_response(code)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Server(("127.0.0.1", self.port), Handler)

    def url(self, secret: str) -> str:
        return f"json://localhost:{self.port}/{secret}"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class Monitor(Receiver):
    """Receives heartbeats: counts them and collects their paths."""

    def __init__(self) -> None:
        super().__init__()
        self.code = 200
        self.beats = 0
        self.paths: set[str] = set()

    def make(self) -> BaseServer:
        monitor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                monitor.beats += 1
                monitor.paths.add(self.path)
                self.send_response(monitor.code)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Server(("127.0.0.1", self.port), Handler)


class Mailbox(Receiver):
    """Receives mail by SMTP, as far as Apprise needs it."""

    def make(self) -> BaseServer:
        mailbox = self

        class Handler(StreamRequestHandler):
            ANSWERS: ClassVar[dict[str, str]] = {"DATA": "354 go on", "QUIT": "221 bye"}

            def handle(self) -> None:
                self._say("220 here")
                while line := self.rfile.readline().decode():
                    command = line[:4].upper().strip()
                    self._say(self.ANSWERS.get(command, "250 fine"))
                    if command == "DATA":
                        mailbox.received.append(_read(self.rfile.readline))
                        self._say("250 taken")

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        class Server(ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        return Server(("127.0.0.1", self.port), Handler)

    @property
    def url(self) -> str:
        return f"mailto://localhost:{self.port}?from=mc@example.org&to=ann@example.org"


def _read(readline: Callable[[], bytes]) -> tuple[str, str]:
    """Read a mail; return its subject and text."""
    lines = []
    while (line := readline().decode()) not in {".\r\n", ""}:
        lines.append(line.removeprefix("."))
    mail = message_from_string("".join(lines), policy=policy.default)
    text = mail.get_body(("html", "plain"))
    assert text is not None
    return str(mail["Subject"]), str(text.get_content())
