"""Receivers of notifications, as apprise knows them: each one person, topic or chat, where it can.

A URL may name several of them, and apprise says of all of them together whether they were reached.
So each is an instance of its own, and what one of them refuses is not sent to the others again.
"""

from __future__ import annotations

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
"""`partial`: some of several may have it, so it must not be sent again. `unclear` and `slow`: it
may have it. `away`: it was not connected to. `refused`: it answered that it does not take it."""

SILENT = frozenset({"away", "slow"})
"""Outcomes after which the next message would have to wait as long."""

WORST_FIRST: tuple[Outcome, ...] = ("unclear", "slow", "away", "refused", "partial")
"""Of several outcomes the first decides when the message is sent again."""

ATTEMPT_SECONDS = 20.0
"""For one message to one receiver: apprise gives 4 s to connect and to each part of an answer."""

ANSWER_SECONDS, ANSWER_BYTES, CHUNK_BYTES = 5.0, 1_000_000, 16_384
"""How much of an answer is read: what is beyond is of no interest."""

MAX_PAUSE_SECONDS = 1.0
"""Between two messages to one receiver: ten times the usual 5.5 s of apprise would be a minute."""

TEMPORARY = frozenset({408, 425, 429})
"""Codes of a refusal that another attempt may overcome (rfc9110, rfc6585, rfc8470)."""

MOVED = frozenset({301, 302, 303})
"""Redirects that are followed without what was posted: the page of a login, or of the same server
by https, would answer 200 to nothing, and the notification would count as delivered."""

SMTP_FINAL = 500
"""Codes from here on are final for SMTP (rfc5321)."""

Lists = dict[str, Any]
"""Lists of receivers that an object of apprise holds, by the names of its attributes."""

LISTS = ("targets", "channels", "topics", "rooms", "users", "devices", "recipients")
UNKNOWN_URL = "is no URL of a receiver that apprise knows"


@dataclass(slots=True)
class Contact:
    """What the connections of one attempt came to.

    `is_made` says of each whether it was made; `code` is the last answer's, and final if another
    attempt would get the same.
    """

    is_made: list[bool] = field(default_factory=list)
    code: int | None = None
    is_final: bool = False

    def answered(self, code: int, *, is_final: bool) -> None:
        """Note an answer."""
        self.code, self.is_final = code, is_final


contact: ContextVar[Contact] = ContextVar("contact")


@dataclass(frozen=True, slots=True)
class Receiver:
    """One receiver, by an id that does not give away its URL.

    `plugin` is None for a URL that apprise does not know. `is_one` is False for a URL that names
    several receivers and cannot be taken apart.
    """

    id: str
    url_id: str
    redacted: str
    plugin: NotifyBase | None
    is_one: bool = True

    @property
    def limits(self) -> tuple[int, int]:
        """The longest title and body that it takes, in characters."""
        if self.plugin is None:
            return 0, 0
        return max(self.plugin.title_maxlen, 0), self.plugin.body_maxlen

    def send(self, title: str, body: str, type_: str) -> tuple[Outcome, str | None]:
        """Send a message once; return what came of it, and why it failed, without secrets."""
        if self.plugin is None:
            return "refused", UNKNOWN_URL
        made = Contact()
        contact.set(made)
        sender = apprise.Apprise(asset=_asset())
        sender.add(self.plugin)
        try:
            result = sender.notify(title=title, body=body, notify_type=type_, body_format="text")
        except Exception as error:  # noqa: BLE001 - a plugin's fault is one receiver's alone
            return self._failed("unclear"), f"failed: {type(error).__name__}"
        if result:
            return "delivered", None
        outcome, problem = _explained(made, is_late=result.status.name == "TIMEOUT")
        return self._failed(outcome), problem

    def _failed(self, outcome: Outcome) -> Outcome:
        """Return the outcome, with respect to others that the same URL may have reached."""
        return outcome if self.is_one or outcome == "away" else "partial"


def of(line: str) -> Iterator[Receiver]:
    """Yield the receivers that a line of the file of URLs names."""
    urls = parse_urls(line) or [line]  # type: ignore[no-untyped-call]
    for url in urls:
        own = "" if len(urls) == 1 else f"\n{url}"
        yield from _of_url(url, digest(line + own), digest(line))


def _of_url(url: str, id_: str, url_id: str) -> Iterator[Receiver]:
    redacted, plugin = redact(url), _instance(url)
    parts = _parts(plugin) if plugin else []
    if not parts:
        is_one = plugin is None or (len(plugin) <= 1 and not _uncounted_lists(plugin))
        yield Receiver(id_, url_id, redacted, plugin, is_one=is_one)
    for part, lists in parts:
        if plugin := _instance(url):
            _set(plugin, lists)
            yield Receiver(digest(f"{url_id} {part}"), url_id, redacted, plugin)


def _parts(plugin: NotifyBase) -> list[tuple[str, Lists]]:
    """Return a name for each of its receivers, and its lists with that receiver alone.

    Nothing if it has one receiver, or several that cannot be taken apart.
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
    """Return the names of its lists of receivers, if it sends to several and counts them as one."""
    if len(plugin) > 1 or "targets" not in plugin.template_tokens:
        return []
    lists = {name: value for name in LISTS if (value := vars(plugin).get(name))}
    are_lists = all(isinstance(value, list | tuple | set | dict) for value in lists.values())
    return list(lists) if are_lists and sum(map(len, lists.values())) > 1 else []


def _single(value: Any) -> list[Any]:  # noqa: ANN401 - of whatever apprise holds
    """Return a list with a single item for each item of a list, a set or a dictionary."""
    if isinstance(value, dict):
        return [{key: one} for key, one in value.items()]
    return [type(value)([one]) for one in sorted(value, key=repr)]


def _length(plugin: NotifyBase, lists: Lists) -> int:
    """Return to how many receivers it would send with other lists."""
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
        plugin.retry = 0  # there are attempts enough, and each is known here
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


def _explained(made: Contact, *, is_late: bool) -> tuple[Outcome, str]:
    """Return what a failed attempt means, in words of ours: apprise's own may hold a token."""
    if is_late:
        return "slow", f"did not answer within {ATTEMPT_SECONDS:.0f} s"
    if made.code in MOVED:
        return "refused", f"answered {made.code}: write the URL that it redirects to"
    if made.code and made.code >= 300:
        return "refused" if made.is_final else "unclear", f"answered {made.code}"
    if made.is_made and not any(made.is_made):
        return "away", "cannot be reached"
    if made.code is None and made.is_made:
        return "slow", "did not answer"
    return "unclear", "did not take it"


def _note_http() -> None:
    """Note what HTTP requests come to."""
    send = HTTPAdapter.send

    @wraps(send)
    def noted(self: HTTPAdapter, request: Any, **options: Any) -> Any:  # noqa: ANN401
        made = contact.get(Contact())
        made.code = None
        try:
            response = send(self, request, **options)
        except requests.ConnectionError as error:
            reason = getattr(next(iter(error.args), None), "reason", None)
            never = requests.exceptions.ProxyError, requests.exceptions.SSLError
            is_never = isinstance(error, (requests.ConnectTimeout, *never))
            made.is_made.append(not (is_never or isinstance(reason, NewConnectionError)))
            raise
        except requests.RequestException:
            made.is_made.append(True)
            raise
        made.is_made.append(True)
        code: int = response.status_code
        if code in MOVED and request.method not in {"GET", "HEAD"}:
            response.headers.pop("Location", None)
        made.answered(code, is_final=300 <= code < 500 and code not in TEMPORARY)
        return response

    HTTPAdapter.send = noted  # type: ignore[method-assign, assignment]


def _bound_answers() -> None:
    """Read no more of an answer than is of interest."""
    read = requests.Response.iter_content

    @wraps(read)
    def bounded(self: requests.Response, *args: Any, **options: Any) -> Iterator[Any]:  # noqa: ANN401
        if self._content is not False:
            yield from read(self, *args, **options)
            return
        ends, left_bytes = time.monotonic() + ANSWER_SECONDS, ANSWER_BYTES
        with suppress(HTTPError, OSError):  # its code is known: what follows is of little interest
            while left_bytes > 0 and time.monotonic() < ends:
                chunk = self.raw.read1(CHUNK_BYTES, decode_content=True)
                if not chunk:
                    return
                left_bytes -= len(chunk)
                yield chunk
        self.close()

    requests.Response.iter_content = bounded  # type: ignore[method-assign]


def _note_smtp(name: str) -> None:
    """Note what a step of SMTP comes to."""
    step: Callable[..., Any] = getattr(smtplib.SMTP, name)

    @wraps(step)
    def noted(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        made = contact.get(Contact())
        try:
            answer = step(*args, **options)
        except smtplib.SMTPRecipientsRefused as error:
            code = min(code for code, _ in error.recipients.values())
            made.answered(code, is_final=code >= SMTP_FINAL)
            raise
        except smtplib.SMTPResponseException as error:
            made.answered(error.smtp_code, is_final=error.smtp_code >= SMTP_FINAL)
            raise
        except OSError:
            if name == "connect":
                made.is_made.append(False)
            raise
        if name == "connect":
            made.is_made.append(True)
        return answer

    setattr(smtplib.SMTP, name, noted)


_note_http()
_bound_answers()
for _name in ("connect", "login", "sendmail"):
    _note_smtp(_name)
