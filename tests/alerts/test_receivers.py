"""Each receiver gets a notification once, within its limits, whatever it answers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.alerts import receivers
from dash_app.alerts.delivery import Delivery
from dash_app.alerts.fit import fit
from dash_app.model.notification import Notification
from dash_app.system.secret_files import digest
from tests.receivers import Mailbox, Phone, Receiver, Server

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NOTIFICATION = Notification(
    "0badcafe", "fault", "email:gone", 1, "Email: needs you", "It is gone.", NOW, NOW
)


class Topics(Receiver):
    """An ntfy server. Topics in `codes` answer with their code."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: dict[str, int] = {}
        self.requests: list[str] = []

    def make(self) -> HTTPServer:
        topics = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                topic = body["topic"]
                topics.requests.append(topic)
                code = topics.codes.get(topic, 200)
                if code == 200:
                    topics.received.append((topic, body["message"]))
                self.answer(code)

            def do_GET(self) -> None:
                self.answer(200)

            def answer(self, code: int) -> None:
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.send_header("Location", "/login")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Server(("127.0.0.1", self.port), Handler)


class Endless(Receiver):
    """A receiver that accepts a notification, and never ends its answer."""

    def make(self) -> HTTPServer:
        endless = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endless.received.append((body["title"], body["message"]))
                self.send_response(200)
                self.end_headers()
                while endless.answers.is_set():
                    try:
                        self.wfile.write(1_000_000 * b"x")
                    except OSError:
                        return

            def log_message(self, *_: Any) -> None:
                pass

        return Server(("127.0.0.1", self.port), Handler)


@pytest.fixture
def topics() -> Iterator[Topics]:
    with Topics() as receiver:
        yield receiver


def urls_file(folder: Path, *urls: str) -> Path:
    file = folder / "alerts.urls"
    file.touch(0o600)
    file.write_text("\n".join(urls))
    return file


def send(folder: Path, *urls: str, delivered_to: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Send a notification to URLs; return the lines that the child prints."""
    file = urls_file(folder, *urls)
    notification = replace(NOTIFICATION, delivered_to=delivered_to)
    types = {notification.id: "failure"}
    return list(Delivery(file, lambda: None).send([notification], types))


def test_each_topic_of_a_url_is_an_own_receiver(tmp_path: Path, topics: Topics) -> None:
    """One URL that names several topics, as in caronc/apprise issue 1739."""
    topics.codes["bad"] = 403
    url = f"ntfy://127.0.0.1:{topics.port}/good/bad/fine"
    *attempts, whole = send(tmp_path, url)
    assert sorted(attempt["outcome"] for attempt in attempts) == [
        "delivered",
        "delivered",
        "refused",
    ]
    assert (whole["failure"], whole["outcome"]) == ("ntfy://127.0.0.1 answered 403", "refused")
    reached = tuple(
        attempt["receiver"] for attempt in attempts if attempt["outcome"] == "delivered"
    )
    topics.codes.clear()
    *_, whole = send(tmp_path, url, delivered_to=reached)
    assert whole["failure"] is None
    assert sorted(topic for topic, _ in topics.received) == ["bad", "fine", "good"]


def test_a_url_that_has_a_notification_does_not_get_it_again(
    tmp_path: Path, topics: Topics
) -> None:
    url = f"ntfy://127.0.0.1:{topics.port}/good/fine"
    *_, whole = send(tmp_path, url, delivered_to=(digest(url),))
    assert (whole["failure"], topics.requests) == (None, [])


def test_several_urls_in_a_line_are_several_receivers(tmp_path: Path, topics: Topics) -> None:
    topics.codes["bad"] = 410
    host = f"127.0.0.1:{topics.port}"
    *attempts, _ = send(tmp_path, f"ntfy://{host}/good, ntfy://{host}/bad")
    assert sorted(attempt["outcome"] for attempt in attempts) == ["delivered", "refused"]


MANY = {
    "mailto://ann:pw@example.org?to=a@example.org,b@example.org&cc=c@example.org": 2,
    "tgram://123456789:abcdefg_hijklmnop/111/222/333": 3,
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#a/#b/@u": 3,
    f"pover://{'u' * 30}@{'t' * 30}/phone/tablet": 2,
    f"pbul://{'a' * 32}/#channel/device/a@example.org": 3,
    "matrix://ann:pw@localhost/#room/!other:localhost/@bob": 3,
    "rocket://ann:pw@localhost/#a/@b/room": 3,
    "d7sms://token@15551231234/15551231235?batch=yes": 2,
    "irc://localhost/#a/#b": 2,
    "json://localhost/x": 1,
    "gotify://localhost/tokentoken12345": 1,
    "ntfy://localhost/topic?retry=3": 1,
}


@pytest.mark.parametrize("url", MANY, ids=lambda url: url.partition(":")[0])
def test_a_url_is_split_into_its_receivers(url: str) -> None:
    found = list(receivers.receivers_in(url))
    assert len(found) == len({receiver.id for receiver in found}) == MANY[url]
    assert all(one.is_single and one.plugin is not None and len(one.plugin) == 1 for one in found)


def test_a_url_that_cannot_be_split_gets_no_second_copy(topics: Topics) -> None:
    topics.codes["bad"] = 503
    url = f"ntfy://127.0.0.1:{topics.port}/good/bad"
    plugin = receivers._instance(url)
    assert plugin is not None
    plugin.request_rate_per_sec = 0
    whole = receivers.Receiver("id", "url", "ntfy://", plugin, is_single=False)
    assert whole.send("title", "body", "info") == ("partial", "answered 503")
    topics.stop()
    assert whole.send("title", "body", "info")[0] == "away"


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(400, "refused"), (404, "refused"), (413, "refused"), (429, "unclear"), (503, "unclear")],
)
def test_a_rejection_is_final_unless_another_attempt_may_succeed(
    tmp_path: Path, topics: Topics, code: int, outcome: str
) -> None:
    topics.codes["topic"] = code
    *_, whole = send(tmp_path, f"ntfy://127.0.0.1:{topics.port}/topic")
    assert (whole["failure"], whole["outcome"]) == (f"ntfy://127.0.0.1 answered {code}", outcome)


@pytest.mark.parametrize("code", [301, 302, 303])
def test_a_redirect_to_a_page_does_not_count_as_delivered(
    tmp_path: Path, topics: Topics, code: int
) -> None:
    """A client follows these redirects by GET, without the posted body (RFC 9110, section 15.4)."""
    topics.codes["topic"] = code
    *_, whole = send(tmp_path, f"ntfy://127.0.0.1:{topics.port}/topic")
    assert whole["outcome"] == "refused"
    assert whole["failure"].startswith(f"ntfy://127.0.0.1 answered {code}: ")


def test_an_unreachable_receiver_has_received_nothing(tmp_path: Path) -> None:
    away = Mailbox(), Phone()
    *_, whole = send(tmp_path, away[0].url, away[1].url("secret"), "nosuch://x")
    assert whole["outcome"] == "away"
    assert whole["failure"] == (
        "json://localhost cannot be reached; mailto://localhost cannot be reached;"
        " nosuch:// is not a URL that apprise supports"
    )


PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "dash_app.alerts.sender_process"], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Sends what standard input describes, and prints the peak of its memory in kB."""


def test_an_endless_answer_takes_little_memory_and_counts_as_delivered(tmp_path: Path) -> None:
    with Endless() as receiver:
        file = urls_file(tmp_path, f"json://127.0.0.1:{receiver.port}/x")
        message: dict[str, Any] = {
            "id": "0badcafe",
            "type": "info",
            "title": "Email",
            "body": "It is gone.",
        }
        request = {
            "urls_file": str(file),
            "notifications": [message | {"delivered_to": [], "refused": []}],
        }
        done = subprocess.run(
            [sys.executable, "-c", PEAK],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=True,
        )
        receiver.answers.clear()
    *_, whole, peak_kb = done.stdout.splitlines()
    assert (json.loads(whole)["failure"], len(receiver.received)) == (None, 1)
    assert int(peak_kb) < 200_000


def test_the_longest_lines_are_cut_and_important_ones_stay() -> None:
    cause = "Email: " + 900_000 * "\N{GRINNING FACE}"
    link, signature = "http://box:3001/databases/email", "box (0badcafe)"
    body = f"{cause}\nSince 14:02 UTC.\nRestore a backup.\n{link}\n{signature}"
    title, text = fit("Email: needs you", body, 250, 1024)
    assert len((title + text).encode()) <= 1024
    first, *rest = text.splitlines()
    assert (first[:8], first[-1]) == ("Email: \N{GRINNING FACE}", "…")
    assert rest == ["Since 14:02 UTC.", "Restore a backup.", link, signature]
    title, text = fit("Email: needs you", body, 0, 160)
    assert len((title + text).encode()) <= 158
    assert text.endswith(signature)


def test_a_title_cannot_inject_a_header() -> None:
    title, _ = fit("Email\r\nBcc: eve@example.org\x00\u202e: needs you", "It is gone.", 250, 1024)
    assert title == "Email Bcc: eve@example.org : needs you"


@given(st.text(max_size=300), st.lists(st.text(max_size=3000), max_size=30), st.integers(0, 300))
def test_any_notification_fits_its_limits(title: str, lines: list[str], max_title: int) -> None:
    for max_body in (140, 380, 1024, 4096, 0):
        shown, text = fit(title, "\n".join(lines), max_title, max_body)
        assert len(shown.encode()) + len(text.encode()) <= (max_body or 3_700)
        assert not max_title or len(shown.encode()) <= max_title
        assert "\n" not in shown


def test_a_rejected_long_notification_is_sent_shortened(tmp_path: Path) -> None:
    """A webhook may pass a notification on to Pushover or Discord, which reject it as too long."""
    with Phone() as phone:
        phone.max_characters = 1024
        long = replace(NOTIFICATION, body=f"{1500 * 'x'}\nRestore a backup.\nbox (0badcafe)")
        file = urls_file(tmp_path, phone.url("secret"))
        *_, whole = Delivery(file, lambda: None).send([long], {long.id: "failure"})
        ((_, text),) = phone.received
    assert whole["failure"] is None
    assert text.splitlines()[1:] == ["Restore a backup.", "box (0badcafe)"]
    assert "…" in text


def test_a_failure_lists_only_a_few_problems(tmp_path: Path, topics: Topics) -> None:
    many = "/".join(f"t{number}" for number in range(40))
    topics.codes = {f"t{number}": 400 + number % 10 for number in range(40)}
    *_, whole = send(tmp_path, f"ntfy://127.0.0.1:{topics.port}/{many}")
    assert whole["failure"].endswith("and 7 more")
    assert len(whole["failure"]) < 200


def test_the_child_exits_even_if_a_receiver_hangs(tmp_path: Path) -> None:
    with Phone() as phone:
        phone.answers.clear()
        *_, whole = send(tmp_path, phone.url("secret"))
        phone.answers.set()
    assert whole["failure"] == "json://localhost did not answer"
    assert whole["outcome"] == "slow"


class ExitedChild(Delivery):
    """A delivery whose child exits right after each access to it."""

    accesses = 0

    @property
    def _process(self) -> Any:
        self.accesses += 1
        return Child() if self.accesses % 2 else None

    @_process.setter
    def _process(self, _process: Any) -> None:
        """Do nothing."""


class Child:
    """A process that can be stopped."""

    def terminate(self) -> None:
        """Do nothing."""

    kill = terminate


def test_a_child_that_exits_while_the_service_stops_causes_no_error(tmp_path: Path) -> None:
    delivery = ExitedChild(tmp_path / "alerts.urls", lambda: None)
    delivery.stop_starting()
    assert delivery.accesses == 1
    delivery.accesses = 0
    delivery.stop()
