"""Sends messages by apprise, in a process of its own: its 47 MB end with it.

Reads a JSON document from standard input: the `urls_file`, and `messages` each with `mark`, `kind`,
`title`, `body` and the marks of receivers that it has `reached`. Says in a line of JSON what
`problem` there was with a `receiver`, or none, and in a last one of each message the `failure` of
the whole. Told to end, it finishes what is under way. No URL leaves it, nor what apprise says.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, Lock
from typing import Any

from dash_app.secret import mark_of, place_of, urls_in

try:
    import apprise
except ImportError:
    apprise = None  # type: ignore[assignment]

MOST_AT_ONCE = 8
TRY_SECONDS = 20.0
"""Of one message to one receiver, to which apprise gives 4 s to connect and 4 s to answer."""

TYPES = {"fault": "failure", "reminder": "warning", "over": "success"}
AWAY = "cannot be reached"
MISSING = "apprise is missing: ./ops/run alerts install"

Line = dict[str, Any]


class Sender:
    """Sends messages to each receiver in their order, to all receivers at once."""

    def __init__(self, messages: list[Line]) -> None:
        """Take what is to be sent."""
        self._messages = messages
        self._lock = Lock()
        self.ending = Event()

    def send(self, urls: list[str]) -> None:
        """Send to all, and say of each message whether all have it."""
        failures: dict[str, list[str]] = {one["mark"]: [] for one in self._messages}
        left = {one["mark"]: len(urls) for one in self._messages}
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            tries = [pool.submit(self._send_to, url, failures, left) for url in urls]
            for one in as_completed(tries):
                one.result()

    def _send_to(self, url: str, failures: dict[str, list[str]], left: dict[str, int]) -> None:
        receiver, problem = mark_of(url), None
        for message in self._messages:
            mark = message["mark"]
            if self.ending.is_set():
                return
            if receiver in message["reached"]:
                problem = None
            elif problem != AWAY:  # or each message would wait for it as long
                problem = problem_of(url, message)
            with self._lock:
                left[mark] -= 1
                say({"mark": mark, "receiver": receiver, "problem": problem})
                if problem:
                    failures[mark].append(f"{place_of(url)} {problem}")
                if not left[mark]:
                    say({"mark": mark, "failure": "; ".join(sorted(failures[mark])) or None})


def problem_of(url: str, message: Line) -> str | None:
    """Send a message to one receiver; return why it was not taken, without its secrets."""
    asset = apprise.AppriseAsset(
        app_id="Mission Control",
        app_desc="Mission Control",
        allow_templates=False,
        service_timeout=TRY_SECONDS,
        storage_mode="memory",
    )
    sender = apprise.Apprise(asset=asset)
    if not sender.add(url):
        return "is no URL of a receiver that apprise knows"
    try:
        result = sender.notify(
            title=message["title"],
            body=message["body"],
            notify_type=TYPES.get(message["kind"], "info"),
            body_format="text",
        )
    except Exception as error:  # noqa: BLE001 - a plugin's fault is one receiver's alone
        return f"failed: {type(error).__name__}"
    return None if result else _reason(" ".join(str(line) for line in result.logs()))


def _reason(told: str) -> str:
    """Return what apprise told, in words of ours: its own may hold a token."""
    if answer := re.search(r"error=(\d{3})\b", told):
        return f"answered {answer[1]}"
    return AWAY if re.search("onnection|ocket", told) else "did not take it"


def say(line: Line) -> None:
    """Tell who started us."""
    print(json.dumps(line), flush=True)  # noqa: T201 - that is how it speaks


def main() -> None:
    """Send what standard input asks for."""
    asked = json.load(sys.stdin)
    sender = Sender(asked["messages"])
    signal.signal(signal.SIGTERM, lambda *_: sender.ending.set())
    failure = MISSING
    try:
        urls = urls_in(Path(asked["urls_file"]))
    except (OSError, ValueError) as error:
        urls, failure = [], f"the file of URLs {error}"
    if urls and apprise:
        sender.send(urls)
        return
    for message in asked["messages"]:
        say({"mark": message["mark"], "failure": failure})


if __name__ == "__main__":
    main()
