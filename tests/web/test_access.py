"""Access control: which clients, hosts, users and tokens are accepted at an address."""

import json
from collections.abc import Iterable
from ipaddress import ip_address
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from pydantic import SecretStr

from dash_app.settings.schema import ServerSettings
from dash_app.web.access import MAX_LINES, MAX_NAMES, AccessControl, Refusals


def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"answer"]


def status(
    host: str = "localhost",
    *,
    client: str = "127.0.0.1",
    path: str = "/",
    at: str = "127.0.0.1",
    settings: ServerSettings | None = None,
    method: str = "GET",
    **headers: str,
) -> str:
    """Return the status line of the answer to a request."""
    statuses: list[str] = []
    environ = {"REMOTE_ADDR": client, "HTTP_HOST": host, "PATH_INFO": path}
    environ["REQUEST_METHOD"] = method
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    access = AccessControl(app, settings or ServerSettings(), ip_address(at))
    access(environ, lambda status, *_: statuses.append(status))  # type: ignore[arg-type]
    return statuses[0]


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
def test_allowed_hosts_are_accepted(at: str, host: str) -> None:
    named = ServerSettings(allowed_hosts=("Box.example.ts.net",))
    assert status(host, at=at, settings=named) == "200 OK"


@pytest.mark.parametrize(
    ("at", "host"), [("100.101.102.103", "localhost"), ("127.0.0.1", "100.101.102.103")]
)
def test_the_host_of_another_address_is_rejected(at: str, host: str) -> None:
    assert status(host, at=at) == "400 Bad Request"


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.2", "[::2]", "::1", "[", "a b"]
)
def test_any_other_host_is_rejected(host: str) -> None:
    assert status(host) == "400 Bad Request"


@pytest.mark.parametrize(
    "client", ["127.0.0.1", "127.9.9.9", "::1", "100.64.0.1", "fd7a:115c:a1e0::5"]
)
def test_this_machine_and_its_tailnet_are_allowed(client: str) -> None:
    assert status(client=client) == "200 OK"


@pytest.mark.parametrize("client", ["192.0.2.1", "100.128.0.1", "2001:db8::1", "", "unix"])
def test_other_clients_are_rejected(client: str) -> None:
    assert status(client=client) == "403 Forbidden"


def test_configured_networks_replace_the_default_ones() -> None:
    named = ServerSettings(allowed_clients=("192.0.2.0/24",))
    assert status(client="192.0.2.7", settings=named) == "200 OK"
    assert status(client="127.0.0.1", settings=named) == "403 Forbidden"


def test_a_token_protects_the_routes_for_machines_but_not_the_page() -> None:
    guarded = ServerSettings().model_copy(update={"token_file": SecretStr("s3cret")})
    assert status(path="/", settings=guarded) == "200 OK"
    for path in ("/api/db-status", "/metrics"):
        assert status(path=path, settings=guarded) == "401 Unauthorized"
        assert status(path=path, authorization="Bearer s3cret", settings=guarded) == "200 OK"
        assert status(path=path, authorization="bearer  s3cret", settings=guarded) == "200 OK"
        for wrong in (
            "Bearer S3CRET",
            "Bearer",
            "Bearer s3cre",
            "Bearer s3crett",
            "Basic s3cret",
            "s3cret",
            "",
        ):
            assert status(path=path, authorization=wrong, settings=guarded) == "401 Unauthorized"
        asking = {"origin": "https://a.example", "access_control_request_method": "GET"}
        assert status(path=path, settings=guarded, method="OPTIONS", **asking) == "200 OK"
        assert status(path=path, settings=guarded, method="OPTIONS") == "401 Unauthorized"
        assert status(path=path, settings=guarded, **asking) == "401 Unauthorized"


def identified(users: Iterable[str] = ()) -> ServerSettings:
    return ServerSettings(trust_tailscale_identity=True, allowed_users=tuple(users))


def remote_user(settings: ServerSettings, client: str) -> str | None:
    """Return the user that the application sees if a client claims to be Ann."""
    seen: list[WSGIEnvironment] = []

    def keep(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ)
        return app(environ, start_response)

    environ = {
        "REMOTE_ADDR": client,
        "HTTP_HOST": "localhost",
        "HTTP_TAILSCALE_USER_LOGIN": "ann@example.com",
        "REMOTE_USER": "eve",
    }
    AccessControl(keep, settings, ip_address("127.0.0.1"))(environ, lambda *_: None)  # type: ignore[arg-type]
    assert not any(name.startswith("HTTP_TAILSCALE_") for name in seen[0])
    user: str | None = seen[0].get("REMOTE_USER")
    return user


def test_identity_is_trusted_only_from_this_machine_and_if_configured() -> None:
    assert remote_user(identified(), "127.0.0.1") == "ann@example.com"
    assert remote_user(identified(), "100.64.0.9") is None
    assert remote_user(ServerSettings(), "127.0.0.1") is None


def test_only_allowed_users_get_in() -> None:
    only_ann = identified(["Ann@example.com"])
    assert status(settings=only_ann, tailscale_user_login="ann@example.com") == "200 OK"
    assert status(settings=only_ann, tailscale_user_login="eve@example.com") == "403 Forbidden"
    assert status(settings=only_ann) == "403 Forbidden"
    forged = status(settings=only_ann, client="100.64.0.9", tailscale_user_login="ann@example.com")
    assert forged == "403 Forbidden"


def test_an_allowed_user_needs_no_token() -> None:
    token = {"token_file": SecretStr("s3cret")}
    both = identified(["ann@example.com"]).model_copy(update=token)
    path = "/api/db-status"
    assert status(path=path, settings=both, tailscale_user_login="ann@example.com") == "200 OK"
    assert status(path=path, settings=both, authorization="Bearer s3cret") == "200 OK"
    assert status(path="/", settings=both, authorization="Bearer s3cret") == "403 Forbidden"
    assert status(path=path, settings=both) == "401 Unauthorized"


def test_requests_from_a_funnel_are_rejected() -> None:
    assert status(tailscale_funnel_request="?1") == "403 Forbidden"


def rejection(host: str, *, accept: str = "", protocol: str = "HTTP/1.1") -> tuple[str, str]:
    """Return status and body of the answer to a Host."""
    statuses: list[str] = []
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": host, "PATH_INFO": "/"}
    environ |= {"HTTP_ACCEPT": accept, "SERVER_PROTOCOL": protocol}
    access = AccessControl(app, ServerSettings(), ip_address("127.0.0.1"))
    body = b"".join(access(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type]
    return statuses[0], body.decode()


def test_an_unknown_host_is_reported_with_its_setting() -> None:
    status, body = rejection("server.lan:3001")
    assert status == "400 Bad Request"
    message = json.loads(body)["error"]["message"]
    assert 'allowed_hosts = ["server.lan"]' in message
    status, page = rejection("<b>x</b>", accept="text/html,*/*")
    assert page.startswith("<!DOCTYPE html>")
    assert "<b>" not in page
    assert len(rejection("x" * 10_000)[1]) < 500


def test_a_health_check_by_http_1_0_needs_no_host() -> None:
    """No browser sends one; HAProxy does by default (haproxy issue 1225)."""
    assert rejection("", protocol="HTTP/1.0")[0] == "200 OK"
    status, body = rejection("")
    assert status == "400 Bad Request"
    assert "HTTP/1.1 requires" in body
    assert rejection("evil.example", protocol="HTTP/1.0")[0] == "400 Bad Request"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:evil", "[127.0.0.1]", "[::1]evil", "[localhost]", "localhost/", "a@localhost"],
)
def test_a_host_that_no_browser_sends_is_rejected(host: str) -> None:
    assert rejection(host)[0] == "400 Bad Request"


def test_refusals_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """An access list that rejects silently costs people hours (numa issue 267)."""
    refusals = Refusals()
    for _ in range(5):
        refusals.record("client", "172.31.99.2", "172.31.99.1")
    refusals.record("host", "evil\n\x1b[0m", "127.0.0.1")
    assert [(found.kind, found.name, found.count) for found in refusals.recent()] == [
        ("host", "evil\\n\\x1b[0m", 1),
        ("client", "172.31.99.2", 5),
    ]
    assert len(caplog.records) == 2
    assert "rejected client 172.31.99.2 at 172.31.99.1: not in allowed_clients" in caplog.text


def test_invented_names_fill_neither_memory_nor_log(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    refusals.record("client", "172.31.99.2", "172.31.99.1")
    for number in range(1000):
        refusals.record("host", f"{number}{'x' * 10_000}", "127.0.0.1")
    assert len(refusals.recent()) == MAX_NAMES + 1
    assert refusals.recent()[-1].name == "172.31.99.2"
    assert len(caplog.records) == MAX_LINES
    assert max(len(record.getMessage()) for record in caplog.records) < 300
