"""A service that is killed and restarted sends to real receivers that come and go."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dash_app.alerts import delivery
from dash_app.alerts.delivery import Delivery
from dash_app.model.notification import Notification
from tests.harness import (
    PATIENCE_SECONDS,
    NoThread,
    Served,
    eventually,
    make_database,
    write_config,
)
from tests.receivers import Mailbox, Phone

SECRET = "s3cr3t"


@pytest.fixture
def phone() -> Iterator[Phone]:
    with Phone() as receiver:
        yield receiver


def configured(folder: Path, *urls: str) -> Path:
    """Write a configuration of one database with alerts to URLs, sent without a delay."""
    secrets = folder / "alerts.urls"
    secrets.touch(0o600)
    secrets.write_text("\n".join(urls))
    alerts = f'urls_file = "{secrets}"\nafter = "0s"\nsettle = "0s"\nlink = "http://box"'
    database = make_database(folder / "email.db", messages=3)
    return write_config(folder, [("email", database)], alerts=alerts)


def stored(config: Path) -> list[dict[str, Any]]:
    """The rows of notifications in the history, oldest first."""
    with closing(sqlite3.connect(config.with_name("history.db"))) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM message ORDER BY id")]


def skip_pauses(config: Path) -> None:
    """Make failed notifications due now. No service may run."""
    with closing(sqlite3.connect(config.with_name("history.db"))) as connection, connection:
        connection.execute("UPDATE message SET due_at = made_at")


def id_in(text: str) -> str:
    """The id at the end of a notification."""
    (id_,) = re.findall(r"\(([0-9a-f]{8})\)", text)
    return str(id_)


def test_each_receiver_gets_a_fault_and_its_end_once_after_an_absence(
    tmp_path: Path, phone: Phone
) -> None:
    mailbox = Mailbox()
    config = configured(tmp_path, phone.url(SECRET), mailbox.url)
    database, moved = tmp_path / "email.db", tmp_path / "away.db"
    with Served(config) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
        database.rename(moved)
        ((title, text),) = phone.await_received(1)
        assert title == "Email: needs you"
        assert "http://box/databases/email" in text.splitlines()
        eventually(lambda: stored(config)[0]["failure"])
        served.stop()
        (message,) = stored(config)
        assert (message["sent_at"], message["attempts"]) == (None, 1)
        assert message["failure"] == "mailto://localhost cannot be reached"
        skip_pauses(config)
        with mailbox:
            served.restart()
            ((subject, mail),) = mailbox.await_received(1)
            assert subject == title
            assert id_in(mail) == id_in(text) == message["mark"]
            eventually(lambda: stored(config)[0]["sent_at"])
            moved.rename(database)
            title, _text = phone.await_received(2)[1]
            assert title.startswith("Email: over after")
            mailbox.await_received(2)
            eventually(lambda: all(row["sent_at"] for row in stored(config)))
            served.stop()
    assert len(phone.received) == len(mailbox.received) == 2
    assert SECRET not in served.log
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("history*"))


def test_an_attempt_under_way_is_repeated_after_a_crash_but_not_after_a_stop(
    tmp_path: Path, phone: Phone
) -> None:
    config = configured(tmp_path, phone.url(SECRET))
    patient = (
        "from dash_app import sampler; from dash_app.alerts import delivery;"
        " sampler.STOP_SECONDS = delivery.STOP_SECONDS = 60.0"
    )
    with Served(config, patch=patient) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
        phone.answers.clear()
        (tmp_path / "email.db").rename(tmp_path / "away.db")
        phone.await_received(1)
        served.stop(signal.SIGKILL)
        phone.answers.set()
        skip_pauses(config)
        phone.answers.clear()
        served.restart()
        (_, first), (_, second) = phone.await_received(2)
        assert id_in(first) == id_in(second)
        os.kill(served.process.pid, signal.SIGTERM)
        phone.answers.set()
        served.process.wait(PATIENCE_SECONDS)
        assert stored(config)[0]["sent_at"]
        skip_pauses(config)
        served.restart()
        eventually(lambda: served.database("email")["status"] == "error")
        served.stop()
    phone.await_received(2)


def test_failing_notifications_are_an_incident_until_one_is_delivered(
    tmp_path: Path, phone: Phone
) -> None:
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
    incidents = served.json("/api/incidents")["incidents"]
    return next((found for found in incidents if found["kind"] == kind), None)


WITHOUT_APPRISE = (
    "import sys; sys.modules['apprise'] = None; "
    "from dash_app.alerts.sender_process import main; main()"
)


def test_without_apprise_the_failure_names_the_fix(tmp_path: Path) -> None:
    configured(tmp_path, f"ntfys://ntfy.sh/{SECRET}")
    request = {"urls_file": str(tmp_path / "alerts.urls"), "notifications": [{"id": "0badcafe"}]}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_APPRISE],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    failure = "apprise is missing: ./ops/run alerts install"
    assert json.loads(done.stdout) == {"id": "0badcafe", "failure": failure, "outcome": "away"}


@pytest.mark.parametrize("missing", ["Thread", "Timer"])
def test_a_notification_fails_if_there_is_no_thread_to_send_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    """So it is tried again. One thread sends it, another one limits the time."""
    monkeypatch.setattr(delivery, missing, lambda *_args, **_kwargs: NoThread())
    now = datetime.now(UTC)
    notification = Notification("1", "fault", "email:gone", None, "Email: needs you", "", now, now)
    sender = Delivery(tmp_path / "alerts.urls", lambda: None)
    sender.start([notification], {"1": "failure"})
    (result,) = eventually(lambda: list(sender.results()))
    assert result["failure"] == "could not be sent: can't start new thread"
    eventually(lambda: sender.is_ready)
    sender.stop()
