"""Who may ask: every answer passes the gate of the address that was asked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_address
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from pydantic import SecretStr

from dash_app.settings.schema import ServerSettings
from dash_app.web.access import MAX_LINES, MAX_NAMES, Gate, Refusals


def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"behind the gate"]


def ask(
    host: str = "localhost",
    *,
    client: str = "127.0.0.1",
    path: str = "/",
    at: str = "127.0.0.1",
    settings: ServerSettings | None = None,
    method: str = "GET",
    **headers: str,
) -> str:
    """Return the status line that a request to an address gets."""
    said: list[str] = []
    environ = {"REMOTE_ADDR": client, "HTTP_HOST": host, "PATH_INFO": path}
    environ["REQUEST_METHOD"] = method
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    gate = Gate(app, settings or ServerSettings(), ip_address(at))
    gate(environ, lambda status, *_: said.append(status))  # type: ignore[arg-type]
    return said[0]


@pytest.mark.parametrize(
    ("at", "host"),
    [
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "LOCALHOST:3001"),
        ("::1", "localhost."),
        ("127.0.0.1", "127.0.0.1:3001"),
        ("::1", "[::1]:3001"),
        ("::1", "[0:0:0:0:0:0:0:1]:3001"),
        ("100.101.102.103", "100.101.102.103"),
        ("100.101.102.103", "box.example.ts.net:3001"),
        ("127.0.0.1", "BOX.example.ts.net"),
        ("0.0.0.0", "192.0.2.7:3001"),
    ],
)
def test_a_known_host_may_be_asked_for(at: str, host: str) -> None:
    named = ServerSettings(allowed_hosts=("Box.example.ts.net",))
    assert ask(host, at=at, settings=named) == "200 OK"


@pytest.mark.parametrize(
    ("at", "host"), [("100.101.102.103", "localhost"), ("127.0.0.1", "100.101.102.103")]
)
def test_the_host_of_another_address_is_refused(at: str, host: str) -> None:
    assert ask(host, at=at) == "400 Bad Request"


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.2", "[::2]", "::1", "[", "a b"]
)
def test_any_other_host_is_refused(host: str) -> None:
    assert ask(host) == "400 Bad Request"


@pytest.mark.parametrize(
    "client", ["127.0.0.1", "127.9.9.9", "::1", "100.64.0.1", "fd7a:115c:a1e0::5"]
)
def test_this_machine_and_its_tailnet_may_ask(client: str) -> None:
    assert ask(client=client) == "200 OK"


@pytest.mark.parametrize("client", ["192.0.2.1", "100.128.0.1", "2001:db8::1", "", "unix"])
def test_nobody_else_may_ask(client: str) -> None:
    assert ask(client=client) == "403 Forbidden"


def test_other_networks_may_ask_when_named() -> None:
    named = ServerSettings(allowed_clients=("192.0.2.0/24",))
    assert ask(client="192.0.2.7", settings=named) == "200 OK"
    assert ask(client="127.0.0.1", settings=named) == "403 Forbidden"


def test_a_token_guards_the_routes_for_machines_and_not_the_page() -> None:
    guarded = ServerSettings().model_copy(update={"token_file": SecretStr("s3cret")})
    assert ask(path="/", settings=guarded) == "200 OK"
    for path in ("/api/db-status", "/metrics"):
        assert ask(path=path, settings=guarded) == "401 Unauthorized"
        assert ask(path=path, authorization="Bearer s3cret", settings=guarded) == "200 OK"
        assert ask(path=path, authorization="bearer  s3cret", settings=guarded) == "200 OK"
        for wrong in (
            "Bearer S3CRET",
            "Bearer",
            "Bearer s3cre",
            "Bearer s3crett",
            "Basic s3cret",
            "s3cret",
            "",
        ):
            assert ask(path=path, authorization=wrong, settings=guarded) == "401 Unauthorized"
        asking = {"origin": "https://a.example", "access_control_request_method": "GET"}
        assert ask(path=path, settings=guarded, method="OPTIONS", **asking) == "200 OK"
        assert ask(path=path, settings=guarded, method="OPTIONS") == "401 Unauthorized"
        assert ask(path=path, settings=guarded, **asking) == "401 Unauthorized"


def known(users: Iterable[str] = ()) -> ServerSettings:
    return ServerSettings(trust_tailscale_identity=True, allowed_users=tuple(users))


def who(settings: ServerSettings, client: str) -> str | None:
    """Return whom the application sees when a client says that it is Ann."""
    seen: list[WSGIEnvironment] = []

    def note(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ)
        return app(environ, start_response)

    environ = {
        "REMOTE_ADDR": client,
        "HTTP_HOST": "localhost",
        "HTTP_TAILSCALE_USER_LOGIN": "ann@example.com",
        "REMOTE_USER": "eve",
    }
    Gate(note, settings, ip_address("127.0.0.1"))(environ, lambda *_: None)  # type: ignore[arg-type]
    assert not any(name.startswith("HTTP_TAILSCALE_") for name in seen[0])
    user: str | None = seen[0].get("REMOTE_USER")
    return user


def test_identity_is_taken_from_this_machine_alone_and_only_when_wanted() -> None:
    assert who(known(), "127.0.0.1") == "ann@example.com"
    assert who(known(), "100.64.0.9") is None
    assert who(ServerSettings(), "127.0.0.1") is None


def test_where_users_are_named_nobody_else_gets_in() -> None:
    only_ann = known(["Ann@example.com"])
    assert ask(settings=only_ann, tailscale_user_login="ann@example.com") == "200 OK"
    assert ask(settings=only_ann, tailscale_user_login="eve@example.com") == "403 Forbidden"
    assert ask(settings=only_ann) == "403 Forbidden"
    forged = ask(settings=only_ann, client="100.64.0.9", tailscale_user_login="ann@example.com")
    assert forged == "403 Forbidden"


def test_a_named_user_needs_no_token() -> None:
    token = {"token_file": SecretStr("s3cret")}
    both = known(["ann@example.com"]).model_copy(update=token)
    path = "/api/db-status"
    assert ask(path=path, settings=both, tailscale_user_login="ann@example.com") == "200 OK"
    assert ask(path=path, settings=both, authorization="Bearer s3cret") == "200 OK"
    assert ask(path="/", settings=both, authorization="Bearer s3cret") == "403 Forbidden"
    assert ask(path=path, settings=both) == "401 Unauthorized"


def test_what_a_funnel_lets_in_from_the_internet_is_refused() -> None:
    assert ask(tailscale_funnel_request="?1") == "403 Forbidden"


def refused(host: str, *, accept: str = "", protocol: str = "HTTP/1.1") -> tuple[str, str]:
    """Return status and body of what is answered to a Host."""
    said: list[str] = []
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": host, "PATH_INFO": "/"}
    environ |= {"HTTP_ACCEPT": accept, "SERVER_PROTOCOL": protocol}
    gate = Gate(app, ServerSettings(), ip_address("127.0.0.1"))
    body = b"".join(gate(environ, lambda status, *_: said.append(status)))  # type: ignore[arg-type]
    return said[0], body.decode()


def test_an_unknown_host_is_named_with_where_it_belongs() -> None:
    status, body = refused("server.lan:3001")
    assert status == "400 Bad Request"
    message = json.loads(body)["error"]["message"]
    assert 'allowed_hosts = ["server.lan"]' in message
    status, page = refused("<b>x</b>", accept="text/html,*/*")
    assert page.startswith("<!DOCTYPE html>")
    assert "<b>" not in page
    assert len(refused("x" * 10_000)[1]) < 500


def test_a_health_check_by_http_1_0_needs_no_host() -> None:
    """No browser asks so; HAProxy does, unless told otherwise (haproxy issue 1225)."""
    assert refused("", protocol="HTTP/1.0")[0] == "200 OK"
    status, body = refused("")
    assert status == "400 Bad Request"
    assert "HTTP/1.1 requires" in body
    assert refused("evil.example", protocol="HTTP/1.0")[0] == "400 Bad Request"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:evil", "[127.0.0.1]", "[::1]evil", "[localhost]", "localhost/", "a@localhost"],
)
def test_a_host_that_no_browser_sends_is_refused(host: str) -> None:
    assert refused(host)[0] == "400 Bad Request"


def test_refusals_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """An access list that refuses without a line costs people hours (numa issue 267)."""
    refusals = Refusals()
    for _ in range(5):
        refusals.note("client", "172.31.99.2", "172.31.99.1")
    refusals.note("host", "evil\n\x1b[0m", "127.0.0.1")
    assert [(one.kind, one.name, one.count) for one in refusals.recent()] == [
        ("host", "evil\\n\\x1b[0m", 1),
        ("client", "172.31.99.2", 5),
    ]
    assert len(caplog.records) == 2
    assert "172.31.99.2 may not ask at 172.31.99.1" in caplog.text


def test_invented_names_fill_neither_memory_nor_log(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    refusals.note("client", "172.31.99.2", "172.31.99.1")
    for number in range(1000):
        refusals.note("host", f"{number}{'x' * 10_000}", "127.0.0.1")
    assert len(refusals.recent()) == MAX_NAMES + 1
    assert refusals.recent()[-1].name == "172.31.99.2"
    assert len(caplog.records) == MAX_LINES
    assert max(len(record.getMessage()) for record in caplog.records) < 300
