"""`alerts test` and `alerts list`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dash_app.history.writer import History
from dash_app.model.notification import Notification
from dash_app.settings.schema import HistorySettings
from tests.cli.helpers import run
from tests.harness import free_port, make_database, write_config
from tests.receivers import Phone

SECRET = "s3cr3t"
NOW = datetime.now(UTC)
WAITS = Notification("00000001", "fault", "email:gone", None, "Email: needs you", "", NOW, NOW)


def configured(folder: Path, *urls: str) -> Path:
    secrets = folder / "alerts.urls"
    secrets.touch(0o600)
    secrets.write_text("\n".join(urls))
    databases = [("email", make_database(folder / "email.db"))]
    server = f"port = {free_port()}"  # ours may be served on the usual one
    return write_config(folder, databases, server=server, alerts='urls_file = "alerts.urls"')


def test_a_test_notification_prints_the_result_of_each_receiver(tmp_path: Path) -> None:
    with Phone() as phone:
        unreachable = f"xml://someone:{SECRET}@localhost:{free_port()}/{SECRET}"
        unknown = f"nosuch://{SECRET}.example.com"
        config = configured(tmp_path, unreachable, phone.url(SECRET), unknown)
        done = run(tmp_path, "alerts", "test", "--config", config)
        assert done.stdout.splitlines() == [
            "xml://localhost: cannot be reached",
            "json://localhost: sent",
            "nosuch://: is not a URL that apprise supports",
        ]
        assert (done.returncode, done.stderr) == (1, "")
        ((title, text),) = phone.await_received(1)
        assert title == "Mission Control: test"
        assert text.startswith("Notifications arrive. Sent on request at ")


def test_the_list_has_receivers_and_notifications_with_their_state(tmp_path: Path) -> None:
    config = configured(tmp_path, f"ntfys://:{SECRET}@ntfy.sh/{SECRET}", f"tgram://{SECRET}/1")
    history = HistorySettings(path=tmp_path / "history.db")
    store = History(history)
    sent = Notification(
        "00000002", "over", "email:gone", None, "Email: over after 3 min", "", NOW, NOW, 1,
        sent_at=NOW - timedelta(hours=3, minutes=30),
    )  # fmt: skip
    ended = replace(WAITS, id="00000003", incident=7)
    store.notifications.store([ended, WAITS, sent])
    store.close()
    done = run(tmp_path, "alerts", "list", "--config", config)
    receivers, notifications = done.stdout.splitlines()[:2], done.stdout.splitlines()[2:]
    assert receivers == ["Receiver ntfys://ntfy.sh", "Receiver tgram://"]
    made = f"{NOW:%Y-%m-%d %H:%M} UTC"
    title = "Email: needs you         pending"
    assert notifications == [
        f"{made}  00000002  Email: over after 3 min  sent 3 h ago",
        f"{made}  00000001  {title}, because the service that sends it does not run",
        f"{made}  00000003  {title}, but it is over, so only its end is sent",
    ]


def test_without_receivers_a_test_names_the_setting(tmp_path: Path) -> None:
    config = write_config(tmp_path, [("email", tmp_path / "email.db")])
    done = run(tmp_path, "alerts", "test", "--config", config)
    assert done.returncode == 1
    assert done.stderr.startswith("No receivers. Set `urls_file` under [alerts] in ")
