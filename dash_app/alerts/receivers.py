"""Receivers of notifications, by apprise: one for each person, topic or chat of a URL if possible.

A URL may name several receivers, for which apprise returns a single result. So each gets an own
instance, and a failure of one does not repeat the notification to the others.
"""

import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal

import apprise
import requests
from apprise.plugins import NotifyBase
from apprise.utils.parse import parse_urls
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError

from dash_app.system.secret_files import digest, redact

Outcome = Literal["delivered", "partial", "unclear", "slow", "away", "refused"]
"""`partial`: some of several receivers may have it, so it must not be sent again. `unclear` and
`slow`: the receiver may have it. `away`: no connection was made. `refused`: it was rejected."""

SILENT = frozenset({"away", "slow"})
"""Outcomes after which the next notification would wait as long."""

WORST_FIRST: tuple[Outcome, ...] = ("unclear", "slow", "away", "refused", "partial")
"""The first of several outcomes in this order decides about the next attempt."""

ATTEMPT_SECONDS = 20.0
"""Maximum per attempt and receiver. apprise allows 4 s to connect, and per part of an answer."""

ANSWER_SECONDS, ANSWER_BYTES, CHUNK_BYTES = 5.0, 1_000_000, 16_384
"""Maximum time and size of an answer. The rest is ignored."""

MAX_PAUSE_SECONDS = 1.0
"""Maximum pause between notifications to one receiver. With apprise's 5.5 s, ten take a minute."""

TEMPORARY = frozenset({408, 425, 429})
"""Errors after which another attempt may succeed (RFC 9110, RFC 6585, RFC 8470)."""

MOVED = frozenset({301, 302, 303})
"""Redirects that are followed by GET, without the notification. The page that they lead to, such as
a login, would answer 200, and the notification would count as delivered."""

FAILED_TO_CONNECT = (
    requests.ConnectTimeout,
    requests.exceptions.ProxyError,
    requests.exceptions.SSLError,
)

SMTP_FINAL = 500
"""SMTP codes from here on are permanent errors (RFC 5321)."""

Lists = dict[str, Any]
"""Lists of receivers in a plugin, by the names of its attributes."""

LISTS = ("targets", "channels", "topics", "rooms", "users", "devices", "recipients")


@dataclass(slots=True)
class Exchange:
    """The connections of one attempt, and the last answer."""

    is_connected: list[bool] = field(default_factory=list)
    """For each connection, whether it was made."""

    code: int | None = None
    is_final: bool = False
    """Whether another attempt would get the same code."""


current_exchange: ContextVar[Exchange] = ContextVar("current_exchange")


@dataclass(frozen=True, slots=True)
class Receiver:
    """One person, topic or chat."""

    id: str
    """A digest, which does not reveal the URL."""

    url_id: str
    redacted: str
    """The part of the URL that is not secret."""

    plugin: NotifyBase | None
    """None for a URL that apprise does not support."""

    is_single: bool = True
    """False for a URL that names several receivers and cannot be split."""

    @property
    def limits(self) -> tuple[int, int]:
        """The maximum lengths of title and body, in characters."""
        if self.plugin is None:
            return 0, 0
        return max(self.plugin.title_maxlen, 0), self.plugin.body_maxlen

    def send(self, title: str, body: str, type_: str) -> tuple[Outcome, str | None]:
        """Attempt to send a notification. Return the outcome, and the problem without secrets."""
        if self.plugin is None:
            return "refused", "is not a URL that apprise supports"
        exchange = Exchange()
        current_exchange.set(exchange)
        sender = apprise.Apprise(asset=_asset())
        sender.add(self.plugin)
        try:
            result = sender.notify(title=title, body=body, notify_type=type_, body_format="text")
        except Exception as error:  # noqa: BLE001 - an error in a plugin is of one receiver only
            return self._outcome("unclear"), f"failed: {type(error).__name__}"
        if result:
            return "delivered", None
        outcome, problem = _explain(exchange, is_late=result.status.name == "TIMEOUT")
        return self._outcome(outcome), problem

    def _outcome(self, outcome: Outcome) -> Outcome:
        """Return the outcome of a failure: other receivers of the same URL may have it."""
        return outcome if self.is_single or outcome == "away" else "partial"


def receivers_in(line: str) -> Iterator[Receiver]:
    """Yield the receivers that a line of the file of URLs names."""
    urls = parse_urls(line) or [line]  # type: ignore[no-untyped-call]
    for url in urls:
        suffix = "" if len(urls) == 1 else f"\n{url}"
        yield from _receivers_of(url, digest(line + suffix), digest(line))


def _receivers_of(url: str, id_: str, url_id: str) -> Iterator[Receiver]:
    redacted, plugin = redact(url), _instance(url)
    parts = _split(plugin) if plugin else []
    if not parts:
        is_single = plugin is None or (len(plugin) <= 1 and not _uncounted_lists(plugin))
        yield Receiver(id_, url_id, redacted, plugin, is_single=is_single)
    for part, lists in parts:
        if plugin := _instance(url):
            _set(plugin, lists)
            yield Receiver(digest(f"{url_id} {part}"), url_id, redacted, plugin)


def _split(plugin: NotifyBase) -> list[tuple[str, Lists]]:
    """Return a name for each receiver of a plugin, and the lists with only that receiver.

    Return nothing if there is only one receiver, or if they cannot be split.
    """
    names = _uncounted_lists(plugin) or [
        name
        for name, value in vars(plugin).items()
        if isinstance(value, list | tuple | set)
        and value
        and _length(plugin, {name: type(value)()}) < len(plugin)
    ]
    empty = {name: type(getattr(plugin, name))() for name in names}
    parts = [
        (f"{name} {target!r}", {**empty, name: target})
        for name in names
        for target in _single(getattr(plugin, name))
    ]
    is_separable = all(_length(plugin, lists) == 1 for _, lists in parts)
    return parts if len(parts) > 1 and is_separable else []


def _uncounted_lists(plugin: NotifyBase) -> list[str]:
    """Return the names of the lists of receivers if the plugin counts several receivers as one."""
    if len(plugin) > 1 or "targets" not in plugin.template_tokens:
        return []
    lists = {name: value for name in LISTS if (value := vars(plugin).get(name))}
    are_lists = all(isinstance(value, list | tuple | set | dict) for value in lists.values())
    return list(lists) if are_lists and sum(map(len, lists.values())) > 1 else []


def _single(value: Any) -> list[Any]:  # noqa: ANN401 - any list of apprise
    """Return a list with a single item for each item of a list, a set or a dictionary."""
    if isinstance(value, dict):
        return [{key: item} for key, item in value.items()]
    return [type(value)([item]) for item in sorted(value, key=repr)]


def _length(plugin: NotifyBase, lists: Lists) -> int:
    """Return the number of receivers of a plugin with other lists."""
    before = {name: getattr(plugin, name) for name in lists}
    try:
        _set(plugin, lists)
        return len(plugin)
    finally:
        _set(plugin, before)


def _set(plugin: NotifyBase, lists: Lists) -> None:
    for name, value in lists.items():
        setattr(plugin, name, value)


def _instance(url: str) -> NotifyBase | None:
    plugin: NotifyBase | None = apprise.Apprise.instantiate(url, asset=_asset())
    if plugin is not None:
        plugin.retry = 0  # the policy retries
        plugin.request_rate_per_sec = min(plugin.request_rate_per_sec, MAX_PAUSE_SECONDS)
    return plugin


def _asset() -> apprise.AppriseAsset:
    return apprise.AppriseAsset(
        app_id="Mission Control",
        app_desc="Mission Control",
        allow_templates=False,
        service_timeout=ATTEMPT_SECONDS,
        storage_mode="memory",
    )


def _explain(exchange: Exchange, *, is_late: bool) -> tuple[Outcome, str]:
    """Return outcome and problem of a failed attempt. apprise's own text may contain a token."""
    if is_late:
        return "slow", f"did not answer within {ATTEMPT_SECONDS:.0f} s"
    if exchange.code in MOVED:
        return "refused", f"answered {exchange.code}: use the URL that it redirects to"
    if exchange.code and exchange.code >= 300:
        return "refused" if exchange.is_final else "unclear", f"answered {exchange.code}"
    if exchange.is_connected and not any(exchange.is_connected):
        return "away", "cannot be reached"
    if exchange.code is None and exchange.is_connected:
        return "slow", "did not answer"
    return "unclear", "did not accept it"


def _trace_http() -> None:
    """Record the connections and answers of HTTP requests, and refuse some redirects."""
    send = HTTPAdapter.send

    @wraps(send)
    def traced(self: HTTPAdapter, request: Any, **options: Any) -> Any:  # noqa: ANN401
        exchange = current_exchange.get(Exchange())
        exchange.code = None
        try:
            response = send(self, request, **options)
        except requests.RequestException as error:
            reason = getattr(next(iter(error.args), None), "reason", None)
            has_failed = isinstance(error, FAILED_TO_CONNECT)
            exchange.is_connected.append(not (has_failed or isinstance(reason, NewConnectionError)))
            raise
        exchange.is_connected.append(True)
        code: int = response.status_code
        if code in MOVED and request.method not in {"GET", "HEAD"}:
            response.headers.pop("Location", None)
        exchange.code, exchange.is_final = code, 300 <= code < 500 and code not in TEMPORARY
        return response

    HTTPAdapter.send = traced  # type: ignore[method-assign, assignment]


def _limit_answers() -> None:
    """Limit the time and size of each answer that is read."""
    read = requests.Response.iter_content

    @wraps(read)
    def limited(self: requests.Response, *args: Any, **options: Any) -> Iterator[Any]:  # noqa: ANN401
        if self._content is not False:
            yield from read(self, *args, **options)
            return
        deadline, left_bytes = time.monotonic() + ANSWER_SECONDS, ANSWER_BYTES
        with suppress(HTTPError, OSError):  # the code is known, which is enough
            while left_bytes > 0 and time.monotonic() < deadline:
                chunk = self.raw.read1(CHUNK_BYTES, decode_content=True)
                if not chunk:
                    return
                left_bytes -= len(chunk)
                yield chunk
        self.close()

    requests.Response.iter_content = limited  # type: ignore[method-assign]


def _trace_smtp(name: str) -> None:
    """Record the connection or the answer of a step of SMTP."""
    step: Callable[..., Any] = getattr(smtplib.SMTP, name)

    @wraps(step)
    def traced(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        exchange = current_exchange.get(Exchange())
        try:
            answer = step(*args, **options)
        except smtplib.SMTPRecipientsRefused as error:
            code = min(code for code, _ in error.recipients.values())
            exchange.code, exchange.is_final = code, code >= SMTP_FINAL
            raise
        except smtplib.SMTPResponseException as error:
            exchange.code, exchange.is_final = error.smtp_code, error.smtp_code >= SMTP_FINAL
            raise
        except OSError:
            if name == "connect":
                exchange.is_connected.append(False)
            raise
        if name == "connect":
            exchange.is_connected.append(True)
        return answer

    setattr(smtplib.SMTP, name, traced)


_trace_http()
_limit_answers()
for _name in ("connect", "login", "sendmail"):
    _trace_smtp(_name)
