"""Who may ask: every request, static files included, passes the gate of the address it came to."""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from dash_app.network import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from dash_app.network import Address
    from dash_app.settings.sections import ServerSettings

TAILSCALE_HEADERS = "HTTP_TAILSCALE_"
LOGIN = "HTTP_TAILSCALE_USER_LOGIN"
"""`tailscale serve` sets it for a person of the tailnet, and takes away what a client sent."""

FUNNEL = "HTTP_TAILSCALE_FUNNEL_REQUEST"
"""Set on what `tailscale funnel` lets in from the whole internet."""


class Gate:
    """Asks of every request: from whom, for which host, with which token."""

    def __init__(self, app: WSGIApplication, settings: ServerSettings, address: Address) -> None:
        """Take the application behind it."""
        self._app = app
        self._hosts = {str(address), *settings.allowed_hosts}
        self._any_address = address.is_unspecified
        if address.is_loopback or address.is_unspecified:
            self._hosts.add("localhost")
        self._clients = [
            network for name in settings.allowed_clients for network in _networks(name)
        ]
        self._trusts_identity = settings.trust_tailscale_identity
        self._users = {user.lower() for user in settings.allowed_users}
        token = settings.token_file
        self._authorization = token.authorization.encode() if token else None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or refuse it; who asks is its REMOTE_USER."""
        if FUNNEL in environ or not self.knows_client(environ.get("REMOTE_ADDR", "")):
            return _refuse(start_response, HTTPStatus.FORBIDDEN, "client", "Not from this network.")
        if not self._knows_host(environ.get("HTTP_HOST", "")):
            message = "Unknown Host. Its name belongs into allowed_hosts under [server]."
            return _refuse(start_response, HTTPStatus.BAD_REQUEST, "host", message)
        self._identify(environ)
        for_machines = environ.get("PATH_INFO", "").startswith(("/api/", "/metrics"))
        is_known = self._has_token(environ) or _is_preflight(environ)
        if self._knows_user(environ) or (for_machines and is_known):
            return self._app(environ, start_response)
        if for_machines and self._authorization:
            message = "Send the header Authorization: Bearer and the token."
            return _refuse(start_response, HTTPStatus.UNAUTHORIZED, "token", message)
        if self._users:
            return _refuse(start_response, HTTPStatus.FORBIDDEN, "user", "Not for this user.")
        return self._app(environ, start_response)

    def knows_client(self, text: str) -> bool:
        """Whether who asks from an address may."""
        try:
            client = ip_address(text)
        except ValueError:
            return False
        return any(client in network for network in self._clients)

    def _knows_host(self, header: str) -> bool:
        host = header[1:].partition("]")[0] if header.startswith("[") else header.partition(":")[0]
        if host.lower().rstrip(".") in self._hosts:
            return True
        try:
            literal = ip_address(host)
        except ValueError:
            return False
        return self._any_address or str(literal) in self._hosts

    def _identify(self, environ: WSGIEnvironment) -> None:
        """Take a person's name from `tailscale serve` beside us, and from nobody else."""
        login = environ.get(LOGIN)
        for name in [name for name in environ if name.startswith(TAILSCALE_HEADERS)]:
            del environ[name]
        environ.pop("REMOTE_USER", None)
        if self._trusts_identity and login and ip_address(environ["REMOTE_ADDR"]).is_loopback:
            environ["REMOTE_USER"] = login

    def _knows_user(self, environ: WSGIEnvironment) -> bool:
        return environ.get("REMOTE_USER", "").lower() in self._users

    def _has_token(self, environ: WSGIEnvironment) -> bool:
        sent = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
        return bool(self._authorization) and hmac.compare_digest(sent, self._authorization)


def _is_preflight(environ: WSGIEnvironment) -> bool:
    """Whether a browser asks, without token as it must, what a script may ask."""
    asks = "HTTP_ORIGIN" in environ and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    return asks and environ.get("REQUEST_METHOD") == "OPTIONS"


def _refuse(
    start_response: StartResponse, status: HTTPStatus, what: str, message: str
) -> list[bytes]:
    body = json.dumps({"error": {"code": f"{what}_not_allowed", "message": message}}).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


def _networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return NETWORKS[name] if name in NETWORKS else (ip_network(name),)
