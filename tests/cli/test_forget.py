"""`forget`, with and without the service."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from dash_app.history.file import forget_request
from dash_app.history.writer import History
from dash_app.settings.schema import HistorySettings
from tests.cli.helpers import environment, output_lines, run, usage_error
from tests.harness import PATIENT, ROOT, Served, eventually, make_database, write_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    databases = [("email", tmp_path / "email.db"), ("other", tmp_path / "other.db")]
    return write_config(tmp_path, databases, history='every = "1s"')


def lose_email(tmp_path: Path, served: Served) -> None:
    """Let a service read a database with rows, then remove the file."""
    eventually(lambda: served.database("email")["status"] == "connected")
    (tmp_path / "email.db").unlink()
    eventually(lambda: served.database("email")["status"] == "error")


def test_forget_makes_a_database_new_in_a_running_service(tmp_path: Path, config: Path) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with Served(config) as served:
        lose_email(tmp_path, served)
        assert output_lines(tmp_path, "forget", "email", "--yes", "--config", config) == [
            "Email is new again."
        ]
        email = served.database("email")
        assert (email["status"], email["findings"]) == ("not_initialized", [])
        assert served.json("/api/events")["events"][0]["kind"] == "gone"  # its events stay
        served.stop()
        served.restart()
        assert served.database("email")["status"] == "not_initialized"
        assert not forget_request(tmp_path / "history.db", "email").exists()


def test_a_request_that_cannot_be_removed_is_processed_once(tmp_path: Path, config: Path) -> None:
    """Otherwise each reading would forget what the previous one found."""
    make_database(tmp_path / "email.db", messages=3)
    with Served(config) as served:
        forget_request(tmp_path / "history.db", "email").mkdir()
        eventually(lambda: "cannot be removed: Is a directory" in served.log)
        (tmp_path / "email.db").unlink()
        eventually(lambda: served.database("email")["status"] == "error")
        assert served.log.count("email: forgotten") == 1
        assert "tick failed" not in served.log


def test_forget_ends_problems_without_the_service(tmp_path: Path, config: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=30)
    with Served(config) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
        path.unlink()
        make_database(path, messages=3)
        eventually(lambda: served.database("email")["findings"])
    assert run(tmp_path, "status", "--config", config).returncode == 3
    output_lines(tmp_path, "forget", "email", "--yes", "--config", config)
    assert run(tmp_path, "status", "--config", config).returncode == 0
    assert output_lines(tmp_path, "forget", "email", "--yes", "--config", config) == [
        "Email is new already."
    ]
    with Served(config) as served:
        assert served.database("email")["findings"] == []


def test_forget_fails_if_the_service_does_not_respond(tmp_path: Path, config: Path) -> None:
    """It waits for two intervals and deadlines."""
    config.write_text(config.read_text().replace(PATIENT, 'deadline = "500ms"'))
    make_database(tmp_path / "email.db", messages=3)
    with Served(config) as served:
        lose_email(tmp_path, served)
        served.stop()
    holder = History(HistorySettings(path=tmp_path / "history.db"))  # which reads no requests
    done = run(tmp_path, "forget", "email", "--yes", "--config", config)
    holder.close()
    assert (done.returncode, done.stdout) == (4, "")
    assert "The service has not done it yet." in done.stderr
    with Served(config) as served:
        eventually(lambda: served.database("email")["status"] == "not_initialized")


def test_forget_rejects_unknown_names_and_asks_for_confirmation(
    tmp_path: Path, config: Path
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with Served(config) as served:
        lose_email(tmp_path, served)
    text = usage_error(tmp_path, "forget", "nope", "--config", config)
    assert "There is no database 'nope'. Configured: email, other." in text
    assert "Pass --yes." in usage_error(tmp_path, "forget", "email", "--config", config)
    output, code = run_on_a_terminal(tmp_path, config, "n\n")
    assert "Forget the state of Email, which last had 3 rows? [y/N]" in output
    assert code == 1
    assert run(tmp_path, "status", "--config", config).returncode == 3
    output, code = run_on_a_terminal(tmp_path, config, "y\n")
    assert (code, output.endswith(" Email is new again.\n")) == (0, True)


def run_on_a_terminal(home: Path, config: Path, answer: str) -> tuple[str, int]:
    """The output of `forget` if its question is answered, and its exit code."""
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    command = [sys.executable, "-m", "dash_app", "forget", "email", "--config", str(config)]
    done = subprocess.run(
        command,
        stdin=theirs,
        capture_output=True,
        text=True,
        env=environment(home),
        check=False,
        cwd=ROOT,
    )
    os.close(theirs)
    os.close(ours)
    return done.stdout, done.returncode
