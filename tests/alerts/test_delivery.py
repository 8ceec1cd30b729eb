"""Messages really sent: by a service killed and started again, to receivers that come and go."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.harness import PATIENCE_SECONDS, Served, eventually, make_database, write_config
from tests.receivers import Mailbox, Phone

SECRET = "s3cr3t"


@pytest.fixture
def phone() -> Iterator[Phone]:
    with Phone() as receiver:
        yield receiver


def configured(folder: Path, *urls: str) -> Path:
    """A configuration over one database, with alerts to these URLs, as soon as may be."""
    secrets = folder / "alerts.urls"
    secrets.touch(0o600)
    secrets.write_text("\n".join(urls))
    alerts = f'urls_file = "{secrets}"\nafter = "0s"\nsettle = "0s"\nlink = "http://box"'
    database = make_database(folder / "email.db", messages=3)
    return write_config(folder, [("email", database)], alerts=alerts)


def stored(config: Path) -> list[dict[str, Any]]:
    """The messages in the history, oldest first."""
    with closing(sqlite3.connect(config.with_name("history.db"))) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM message ORDER BY id")]


def wait_no_more(config: Path) -> None:
    """Have what failed tried again at the next look, while no service runs."""
    with closing(sqlite3.connect(config.with_name("history.db"))) as connection, connection:
        connection.execute("UPDATE message SET due_at = made_at")


def mark_in(text: str) -> str:
    """The mark at a message's end, which tells one that comes twice."""
    (mark,) = re.findall(r"\(([0-9a-f]{8})\)", text)
    return str(mark)


def test_each_receiver_gets_a_fault_and_its_end_once_though_it_was_away(
    tmp_path: Path, phone: Phone
) -> None:
    mailbox = Mailbox()
    config = configured(tmp_path, phone.url(SECRET), mailbox.url)
    database, away = tmp_path / "email.db", tmp_path / "away.db"
    with Served(config) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
        database.rename(away)
        ((title, text),) = phone.await_received(1)
        assert title == "Email: needs you"
        assert "http://box/databases/email" in text.splitlines()
        eventually(lambda: stored(config)[0]["failure"])
        served.stop()
        (message,) = stored(config)
        assert (message["sent_at"], message["attempts"]) == (None, 1)
        assert message["failure"] == "mailto://localhost cannot be reached"
        wait_no_more(config)
        with mailbox:
            served.restart()
            ((subject, mail),) = mailbox.await_received(1)
            assert subject == title
            assert mark_in(mail) == mark_in(text) == message["mark"]
            eventually(lambda: stored(config)[0]["sent_at"])
            away.rename(database)
            title, _text = phone.await_received(2)[1]
            assert title.startswith("Email: over after")
            mailbox.await_received(2)
            eventually(lambda: all(one["sent_at"] for one in stored(config)))
            served.stop()
    assert len(phone.received) == len(mailbox.received) == 2
    assert SECRET not in served.log
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("history*"))


def test_what_is_under_way_is_sent_again_after_a_crash_and_not_after_an_end(
    tmp_path: Path, phone: Phone
) -> None:
    config = configured(tmp_path, phone.url(SECRET))
    with Served(config) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
        phone.answers.clear()
        (tmp_path / "email.db").rename(tmp_path / "away.db")
        phone.await_received(1)
        served.stop(signal.SIGKILL)
        phone.answers.set()
        wait_no_more(config)
        phone.answers.clear()
        served.restart()
        (_, first), (_, second) = phone.await_received(2)
        assert mark_in(first) == mark_in(second)
        os.kill(served.process.pid, signal.SIGTERM)
        phone.answers.set()
        served.process.wait(PATIENCE_SECONDS)
        assert stored(config)[0]["sent_at"]
        wait_no_more(config)
        served.restart()
        eventually(lambda: served.database("email")["status"] == "error")
        served.stop()
    phone.await_received(2)


def test_that_messages_fail_is_an_incident_until_they_arrive(tmp_path: Path, phone: Phone) -> None:
    config = configured(tmp_path, phone.url(SECRET))
    phone.code = 403
    with Served(config) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
        (tmp_path / "email.db").rename(tmp_path / "away.db")
        eventually(lambda: stored(config) and stored(config)[0]["failure"])
        served.stop()
        with closing(sqlite3.connect(config.with_name("history.db"))) as connection, connection:
            connection.execute("UPDATE message SET attempts = 5, due_at = made_at")
        served.restart()
        failing = eventually(lambda: incident(served, "alerts_failing"))
        assert failing["text"] == (
            "Alerts: 1 notification did not reach every receiver: json://localhost answered 403."
        )
        assert (failing["databases"], failing["level"]) == ([], "notice")
        eventually(lambda: stored(config)[0]["is_given_up"])
        phone.code = 200
        (tmp_path / "away.db").rename(tmp_path / "email.db")
        ((_, text),) = phone.await_received(1)
        assert re.search(
            "1 earlier notification did not reach every receiver: .*, Email: needs you", text
        )
        eventually(lambda: incident(served, "alerts_failing")["endedAt"])


def incident(served: Served, kind: str) -> Any:
    found = served.json("/api/incidents")["incidents"]
    return next((one for one in found if one["kind"] == kind), None)


WITHOUT = (
    "import sys; sys.modules['apprise'] = None; "
    "from dash_app.alerts.sender_process import main; main()"
)


def test_without_apprise_a_message_says_what_is_to_be_done(tmp_path: Path) -> None:
    configured(tmp_path, f"ntfys://ntfy.sh/{SECRET}")
    asked = {"urls_file": str(tmp_path / "alerts.urls"), "notifications": [{"id": "0badcafe"}]}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    failure = "apprise is missing: ./ops/run alerts install"
    assert json.loads(done.stdout) == {"id": "0badcafe", "failure": failure, "outcome": "away"}
