"""Requests to our own server, and what else may listen on its port."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from threading import Thread

import pytest

from dash_app.system import self_probe

LOOPBACK = ip_address("127.0.0.1")


@contextmanager
def answering(body: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that sends some bytes to one client; yields its port and the requests it got."""
    requests: list[bytes] = []

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            requests.append(connection.recv(4096))
            connection.sendall(body)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1], requests
        if requests:
            thread.join()


def test_a_response_has_its_status_and_body() -> None:
    with answering(b"HTTP/1.1 503 Busy\r\nX: y\r\n\r\nlater\n") as (port, requests):
        answer = self_probe.get(LOOPBACK, port, "/health", authorization="Bearer x")
    assert (answer.status, answer.body) == (503, b"later\n")
    assert requests[0].startswith(b"GET /health HTTP/1.0\r\n")
    assert b"Authorization: Bearer x\r\n" in requests[0]


def test_something_that_is_not_http_is_an_error() -> None:
    with answering(b"220 mail ready\r\n") as (port, _), pytest.raises(OSError, match="no HTTP"):
        self_probe.get(LOOPBACK, port, "/health")


@pytest.mark.parametrize("body", [b"nonsense", b"[1]", b""])
def test_a_body_that_is_not_a_json_object_is_none(body: bytes) -> None:
    with answering(b"HTTP/1.0 200 OK\r\n\r\n" + body) as (port, requests):
        assert self_probe.get_json(["127.0.0.1"], port, "/api/service", None) is None
    assert requests


def test_the_token_is_not_sent_to_a_server_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.getuid() + 1
    with answering(b"HTTP/1.0 200 OK\r\n\r\n{}") as (port, requests):
        monkeypatch.setattr(os, "getuid", lambda: other)
        assert self_probe.get_json(["127.0.0.1"], port, "/api/service", "Bearer x") is None
        assert requests == []
        monkeypatch.undo()
        assert self_probe.get_json(["127.0.0.1"], port, "/api/service", "Bearer x") == {}
