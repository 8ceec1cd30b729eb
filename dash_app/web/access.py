"""Access control: every request, static files included, passes the check of its address."""

import hmac
import html
import json
import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from threading import Lock
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from dash_app.model.refusal import REASONS, REFUSALS, Kind, Refusal
from dash_app.settings.schema import ServerSettings
from dash_app.system.logging_setup import OncePerHour
from dash_app.system.network import NETWORKS, Address

TAILSCALE_HEADERS = "HTTP_TAILSCALE_"
LOGIN = "HTTP_TAILSCALE_USER_LOGIN"
"""The user, set by `tailscale serve`, which removes what a client sent."""

FUNNEL = "HTTP_TAILSCALE_FUNNEL_REQUEST"
"""Set for a request that `tailscale funnel` let in from the internet."""

HOST = re.compile(r"(?:\[([0-9a-f.]*:[0-9a-f:.]*)\]|([^:/@\s\[\]]+))(?::[0-9]*)?", re.IGNORECASE)
"""A Host header: an IPv6 address in brackets or a name, and a port; see RFC 9110 section 7.2."""

MAX_NAMES, MAX_CHARACTERS = 50, 100
"""Maximum number of names kept per kind, and of characters per name."""

MAX_LINES = 20
"""Maximum number of refusals logged per hour."""

STATUSES: dict[Kind, HTTPStatus] = {
    "client": HTTPStatus.FORBIDDEN,
    "host": HTTPStatus.BAD_REQUEST,
    "user": HTTPStatus.FORBIDDEN,
    "token": HTTPStatus.UNAUTHORIZED,
}

log = logging.getLogger(__name__)


class Refusals:
    """The newest refusals by kind, name and address. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._refusals: dict[tuple[Kind, str, str], Refusal] = {}
        self._once_per_hour = OncePerHour(MAX_LINES)

    def record(self, kind: Kind, name: str, address: str) -> None:
        """Count a refusal, and log it once per hour."""
        key = (kind, ascii(name[:MAX_CHARACTERS])[1:-1], address)
        with self._lock:
            known = self._refusals.pop(key, None)
            count = known.count + 1 if known else 1
            self._refusals[key] = Refusal(*key, count, datetime.now(UTC))
            same_kind = [other for other in self._refusals if other[0] == kind]
            if len(same_kind) > MAX_NAMES:
                del self._refusals[same_kind[0]]
            is_new = self._once_per_hour.allows(key)
        if is_new:
            subject, reason = REASONS[kind]
            log.warning("rejected %s %s at %s: %s", subject, *key[1:], reason)

    def recent(self) -> list[Refusal]:
        """Return all refusals, newest first."""
        with self._lock:
            return list(reversed(self._refusals.values()))


class AccessControl:
    """WSGI middleware that checks the client, host, user and token of each request."""

    def __init__(
        self,
        app: WSGIApplication,
        settings: ServerSettings,
        address: Address,
        refusals: Refusals | None = None,
    ) -> None:
        self._app = app
        self._address = str(address)
        self._refusals = refusals or Refusals()
        self._hosts = {str(address), *settings.allowed_hosts}
        self._any_address = address.is_unspecified
        if address.is_loopback or address.is_unspecified:
            self._hosts.add("localhost")
        self._clients = [
            network
            for name in settings.allowed_clients
            for network in NETWORKS.get(name) or (ip_network(name),)
        ]
        self._trusts_identity = settings.trust_tailscale_identity
        self._users = {user.lower() for user in settings.allowed_users}
        self._authorization = (settings.authorization or "").encode()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or reject it. REMOTE_USER is set if the user is known."""
        environ[REFUSALS] = self._refusals
        client = environ.get("REMOTE_ADDR", "")
        if FUNNEL in environ or not self.allows_client(client):
            name = "tailscale funnel" if FUNNEL in environ else client
            return self._reject(environ, start_response, "client", name, "Not from this network.")
        header = environ.get("HTTP_HOST", "")
        # No browser uses HTTP/1.0, so no website can send such a request.
        is_probe = not header and environ.get("SERVER_PROTOCOL") == "HTTP/1.0"
        if not is_probe and not self._allows_host(header):
            return self._reject(environ, start_response, "host", header, _unknown_host(header))
        self._identify(environ)
        for_machines = environ.get("PATH_INFO", "").startswith(("/api/", "/metrics"))
        has_token = self._has_token(environ) or _is_preflight(environ)
        user = environ.get("REMOTE_USER", "")
        if user.lower() in self._users or (for_machines and has_token):
            return self._app(environ, start_response)
        if for_machines and self._authorization:
            message = "Send the header Authorization: Bearer and the token."
            return self._reject(environ, start_response, "token", client, message)
        if self._users:
            return self._reject(
                environ, start_response, "user", user or client, "Not for this user."
            )
        return self._app(environ, start_response)

    def record_refused_client(self, client: str) -> None:
        """Count a client whose connection was closed before it sent a request."""
        self._refusals.record("client", client, self._address)

    def allows_client(self, text: str) -> bool:
        """Whether a client address may send requests."""
        try:
            client = ip_address(text)
        except ValueError:
            return False
        return any(client in network for network in self._clients)

    def _reject(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        kind: Kind,
        name: str,
        message: str,
    ) -> list[bytes]:
        """Count a rejection and return its body: JSON, or a page for a browser."""
        if kind == "token" or name != self._address:  # our own probe expects the rejection
            self._refusals.record(kind, name, self._address)
        accepts_html = "text/html" in environ.get("HTTP_ACCEPT", "")
        is_page = accepts_html and not environ.get("PATH_INFO", "").startswith("/api")
        if is_page:
            body = (
                '<!DOCTYPE html><html lang="en"><title>Mission Control</title>'
                f"<p>{html.escape(message)}</p></html>"
            )
        else:
            body = json.dumps({"error": {"code": f"{kind}_not_allowed", "message": message}})
        content = body.encode()
        headers = [
            ("Content-Type", "text/html; charset=utf-8" if is_page else "application/json"),
            ("Content-Length", str(len(content))),
            ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        status = STATUSES[kind]
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", "Bearer"))
        start_response(f"{status.value} {status.phrase}", headers)
        return [content]

    def _allows_host(self, header: str) -> bool:
        match = HOST.fullmatch(header)
        if match is None:
            return False
        host = (match[1] or match[2]).lower().rstrip(".")
        if host in self._hosts:
            return True
        try:
            literal = ip_address(host)
        except ValueError:
            return False
        return self._any_address or str(literal) in self._hosts

    def _identify(self, environ: WSGIEnvironment) -> None:
        """Set REMOTE_USER as `tailscale serve` on this machine reports it; trust nobody else."""
        login = environ.get(LOGIN)
        for name in [name for name in environ if name.startswith(TAILSCALE_HEADERS)]:
            del environ[name]
        environ.pop("REMOTE_USER", None)
        if self._trusts_identity and login and ip_address(environ["REMOTE_ADDR"]).is_loopback:
            environ["REMOTE_USER"] = login

    def _has_token(self, environ: WSGIEnvironment) -> bool:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        # The case of the scheme does not matter (RFC 9110, section 11.1).
        sent = f"{scheme.capitalize()} {token.strip(' ')}".encode("latin-1", "replace")
        return bool(self._authorization) and hmac.compare_digest(sent, self._authorization)


def _is_preflight(environ: WSGIEnvironment) -> bool:
    """Whether a browser asks for permission before a script's request; it cannot send a token."""
    asks = "HTTP_ORIGIN" in environ and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    return asks and environ.get("REQUEST_METHOD") == "OPTIONS"


def _unknown_host(header: str) -> str:
    """Return a message about an unknown host, with the setting that allows it."""
    if not header:
        return "The request has no Host, which HTTP/1.1 requires."
    match = HOST.fullmatch(header)
    name = (match[1] or match[2])[:MAX_CHARACTERS] if match else ""
    if not name.isascii() or not name.isprintable() or not name:
        return "The Host of the request is not a name."
    return (
        f"This page is not known by the name {name}. If the name is yours, add it under [server] in"
        f' config.toml: allowed_hosts = ["{name}"], and reload the service.'
    )
