"""Send notifications by apprise, in a process of its own: its 47 MB end with it.

Reads a JSON document from standard input: the `urls_file`, and `messages` each with `mark`, `type`,
`title`, `body` and the ids of receivers that it has `reached`, or that `refused` it. Prints a line
of JSON for each attempt: `mark`, `receiver` and `url` (the ids of both), the `problem` or null, and
the `outcome`; and a last one for each message: `mark`, the `failure` of the whole or null, and its
`outcome`. On SIGTERM it finishes what is under way. No URL leaves it, nor what apprise logs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dash_app.alerts.fit import fit
from dash_app.system.processes import limit_memory
from dash_app.system.secret_files import urls_in

try:
    import apprise

    from dash_app.alerts import receivers
except ImportError:
    apprise = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from dash_app.alerts.receivers import Receiver


MAX_AT_ONCE = 8
MAX_BYTES = 200_000_000
"""Memory of this process: a receiver that answers without end takes no more."""

SHORT_BYTES = 900
"""A message that every service takes but for SMS, whose limits apprise knows."""

STACK_BYTES = 1_000_000
MAX_PROBLEMS = 3
"""Problems in the failure of one message; the rest is a number."""

MISSING = "apprise is missing: ./ops/run alerts install"

Line = dict[str, Any]


class Sender:
    """Sends messages to each receiver in their order, to all receivers at once."""

    def __init__(self, messages: list[Line]) -> None:
        self._messages = messages
        self._lock = threading.Lock()
        self.ending = threading.Event()

    def send(self, found: list[Receiver]) -> None:
        """Send to all, and print of each message whether all have it."""
        attempts: dict[str, list[Line]] = {one["mark"]: [] for one in self._messages}
        with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
            tries = [pool.submit(self._send_to, one, attempts, len(found)) for one in found]
            for one in as_completed(tries):
                one.result()

    def _send_to(self, receiver: Receiver, attempts: dict[str, list[Line]], all_: int) -> None:
        outcome, problem = "", None
        for message in self._messages:
            mark = message["mark"]
            if self.ending.is_set():
                return
            if receiver.id in message["refused"]:
                said: Line = {"outcome": "refused", "problem": "did not take it before"}
            elif receiver.id in message["reached"] or receiver.url_id in message["reached"]:
                said = {"outcome": "delivered", "problem": None}
            else:
                if outcome not in receivers.SILENT:  # or each message would wait for it as long
                    outcome, problem = self._try(receiver, message)
                said = {"outcome": outcome, "problem": problem}
            said |= {"mark": mark, "receiver": receiver.id, "url": receiver.url_id}
            with self._lock:
                attempts[mark].append(said | {"place": receiver.place})
                say(said)
                if len(attempts[mark]) == all_:
                    say({"mark": mark, **_whole(attempts[mark])})

    @staticmethod
    def _try(receiver: Receiver, message: Line) -> tuple[str, str | None]:
        """Send a message; a short one if a long one was refused, for what is behind a webhook."""
        max_title, max_body = receiver.limits
        title, body = fit(message["title"], message["body"], max_title, max_body)
        outcome, problem = receiver.send(title, body, message["type"])
        if outcome == "refused" and len(body.encode()) > SHORT_BYTES:
            title, body = fit(message["title"], message["body"], max_title, SHORT_BYTES)
            outcome, problem = receiver.send(title, body, message["type"])
        return outcome, problem


def _whole(attempts: list[Line]) -> Line:
    """Return what came of a message: why it failed, and whether another attempt can help."""
    failed = [one for one in attempts if one["problem"]]
    problems = sorted({f"{one['place']} {one['problem']}" for one in failed})
    rest = len(problems) - MAX_PROBLEMS
    more = [f"and {rest} more"] if rest > 0 else []
    outcomes = {one["outcome"] for one in failed}
    outcome = next((one for one in receivers.WORST_FIRST if one in outcomes), "delivered")
    return {"failure": "; ".join([*problems[:MAX_PROBLEMS], *more]) or None, "outcome": outcome}


def say(line: Line) -> None:
    """Print a line for the process that started this one."""
    print(json.dumps(line), flush=True)  # noqa: T201 - that is how it speaks


def main() -> None:
    """Send what standard input asks for."""
    asked = json.load(sys.stdin)
    sender = Sender(asked["messages"])
    signal.signal(signal.SIGTERM, lambda *_: sender.ending.set())
    limit_memory(MAX_BYTES)
    threading.stack_size(STACK_BYTES)
    failure = MISSING
    found: list[Receiver] = []
    try:
        urls = urls_in(Path(asked["urls_file"]))
        found = [one for url in urls for one in receivers.of(url)] if apprise else []
    except (OSError, ValueError) as error:
        failure = f"the file of URLs {error}"
    if found:
        sender.send(found)
    else:
        for message in asked["messages"]:
            say({"mark": message["mark"], "failure": failure, "outcome": "away"})
    sys.stdout.flush()
    os._exit(0)  # a receiver that hangs still has its thread, for which nobody need wait


if __name__ == "__main__":
    main()
