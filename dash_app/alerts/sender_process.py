"""Send notifications by apprise, in an own process: its 47 MB are freed when it exits.

Reads one JSON document from standard input: `urls_file`, and `notifications`, each with `id`,
`type`, `title`, `body`, and two lists of receiver ids: those that have it (`delivered_to`) and
those that `refused` it. Prints a line of JSON for each attempt: the `id` of the notification, the
ids of the `receiver` and its `url`, the `problem` or null, and the `outcome`. Prints another for
each finished notification: its `id`, its `failure` or null, and the `outcome`. On SIGTERM it
finishes the attempts under way. Neither URLs nor apprise's own log leave this process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dash_app.alerts.fit import fit
from dash_app.system.processes import limit_memory
from dash_app.system.secret_files import read_urls
from dash_app.words.commands import RUN

try:
    import apprise

    from dash_app.alerts import receivers
except ImportError:
    apprise = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from dash_app.alerts.receivers import Receiver


MAX_THREADS = 8
MAX_BYTES = 200_000_000
"""Maximum memory of this process, in case a receiver answers without end."""

SHORT_BYTES = 900
"""A length that every service accepts, except SMS, whose limits apprise knows."""

STACK_BYTES = 1_000_000
MAX_PROBLEMS = 3
"""Maximum number of problems listed in the failure of a notification; the rest is a number."""

Line = dict[str, Any]


class Sender:
    """Sends notifications in their order to each receiver, and to several receivers at once."""

    def __init__(self, notifications: list[Line]) -> None:
        self._notifications = notifications
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    def send(self, found: list[Receiver]) -> None:
        """Send to all receivers, and print the results."""
        attempts: dict[str, list[Line]] = {note["id"]: [] for note in self._notifications}
        with ThreadPoolExecutor(MAX_THREADS) as pool:
            futures = [
                pool.submit(self._send_to, receiver, attempts, len(found)) for receiver in found
            ]
            for future in as_completed(futures):
                future.result()

    def _send_to(self, receiver: Receiver, attempts: dict[str, list[Line]], total: int) -> None:
        outcome, problem = "", None
        for notification in self._notifications:
            id_, delivered_to = notification["id"], notification["delivered_to"]
            if self.stopping.is_set():
                return
            if receiver.id in notification["refused"]:
                result: Line = {"outcome": "refused", "problem": "rejected it before"}
            elif receiver.id in delivered_to or receiver.url_id in delivered_to:
                result = {"outcome": "delivered", "problem": None}
            else:
                if outcome not in receivers.SILENT:  # else each notification would wait as long
                    outcome, problem = self._attempt(receiver, notification)
                result = {"outcome": outcome, "problem": problem}
            result |= {"id": id_, "receiver": receiver.id, "url": receiver.url_id}
            with self._lock:
                attempts[id_].append(result | {"redacted": receiver.redacted})
                print_line(result)
                if len(attempts[id_]) == total:
                    print_line({"id": id_, **_combined(attempts[id_])})

    @staticmethod
    def _attempt(receiver: Receiver, notification: Line) -> tuple[str, str | None]:
        """Send a notification; if a long one is refused, send a short one.

        apprise does not know the limits of a service behind a webhook.
        """
        max_title, max_body = receiver.limits
        title, body = fit(notification["title"], notification["body"], max_title, max_body)
        outcome, problem = receiver.send(title, body, notification["type"])
        if outcome == "refused" and len(body.encode()) > SHORT_BYTES:
            title, body = fit(notification["title"], notification["body"], max_title, SHORT_BYTES)
            outcome, problem = receiver.send(title, body, notification["type"])
        return outcome, problem


def _combined(attempts: list[Line]) -> Line:
    """Return the failure of a notification, and the outcome that decides about the next attempt."""
    failed = [attempt for attempt in attempts if attempt["problem"]]
    problems = sorted({f"{attempt['redacted']} {attempt['problem']}" for attempt in failed})
    rest = len(problems) - MAX_PROBLEMS
    more = [f"and {rest} more"] if rest > 0 else []
    outcomes = {attempt["outcome"] for attempt in failed}
    outcome = next((worst for worst in receivers.WORST_FIRST if worst in outcomes), "delivered")
    return {"failure": "; ".join([*problems[:MAX_PROBLEMS], *more]) or None, "outcome": outcome}


def print_line(line: Line) -> None:
    """Print a line for the parent process."""
    print(json.dumps(line), flush=True)  # noqa: T201 - this is the protocol


def main() -> None:
    """Send the notifications that standard input describes."""
    request = json.load(sys.stdin)
    sender = Sender(request["notifications"])
    signal.signal(signal.SIGTERM, lambda *_: sender.stopping.set())
    limit_memory(MAX_BYTES)
    threading.stack_size(STACK_BYTES)
    failure = f"apprise is missing: {RUN} alerts install"
    found: list[Receiver] = []
    try:
        urls = read_urls(Path(request["urls_file"]))
        found = [*chain.from_iterable(map(receivers.receivers_in, urls))] if apprise else []
    except (OSError, ValueError) as error:
        failure = f"the file of URLs {error}"
    if found:
        sender.send(found)
    else:
        for notification in request["notifications"]:
            print_line({"id": notification["id"], "failure": failure, "outcome": "away"})
    sys.stdout.flush()
    os._exit(0)  # without waiting for the threads of receivers that hang


if __name__ == "__main__":
    main()
