"""`forget`: a database is new again, with and without the service."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from dash_app.history.requests import to_forget
from dash_app.history.writer import History
from dash_app.settings.schema import HistorySettings
from tests.cli.test_cli import environment, run
from tests.cli.test_history import refused, said
from tests.harness import ROOT, Served, eventually, make_database, write_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    databases = [("email", tmp_path / "email.db"), ("other", tmp_path / "other.db")]
    return write_config(tmp_path, databases, history='every = "1s"')


def miss_email(tmp_path: Path, served: Served) -> None:
    """Have a service see a database with rows, which then is gone."""
    eventually(lambda: served.database("email")["status"] == "connected")
    (tmp_path / "email.db").unlink()
    eventually(lambda: served.database("email")["status"] == "error")


def test_forget_makes_a_database_new_in_the_service_that_runs(tmp_path: Path, config: Path) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with Served(config) as served:
        miss_email(tmp_path, served)
        assert said(tmp_path, "forget", "email", "--yes", "--config", config) == [
            "Email is new again."
        ]
        found = served.database("email")
        assert (found["status"], found["findings"]) == ("not_initialized", [])
        assert served.json("/api/events")["events"][0]["kind"] == "gone"  # its past stays
        served.stop()
        served.restart()
        assert served.database("email")["status"] == "not_initialized"
        assert not to_forget(tmp_path / "history.db", "email").exists()


def test_forget_ends_what_was_found_amiss_without_the_service(tmp_path: Path, config: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=30)
    with Served(config) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
        path.unlink()
        make_database(path, messages=3)
        eventually(lambda: served.database("email")["findings"])
    assert run(tmp_path, "status", "--config", config).returncode == 3
    said(tmp_path, "forget", "email", "--yes", "--config", config)
    assert run(tmp_path, "status", "--config", config).returncode == 0
    assert said(tmp_path, "forget", "email", "--yes", "--config", config) == [
        "Email is new already."
    ]
    with Served(config) as served:
        assert served.database("email")["findings"] == []


def test_a_service_that_does_not_get_to_it_is_no_success(tmp_path: Path, config: Path) -> None:
    """It is awaited for two intervals and deadlines."""
    config.write_text(config.read_text().replace("[sampler]", '[sampler]\ndeadline = "500ms"'))
    make_database(tmp_path / "email.db", messages=3)
    with Served(config) as served:
        miss_email(tmp_path, served)
        served.stop()
    holder = History(HistorySettings(path=tmp_path / "history.db"))  # and looks at no request
    done = run(tmp_path, "forget", "email", "--yes", "--config", config)
    holder.close()
    assert (done.returncode, done.stdout) == (4, "")
    assert "The service did not get to it yet." in done.stderr
    with Served(config) as served:
        eventually(lambda: served.database("email")["status"] == "not_initialized")


def test_forget_refuses_a_name_that_is_not_known_and_asks_a_person(
    tmp_path: Path, config: Path
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with Served(config) as served:
        miss_email(tmp_path, served)
    text = refused(tmp_path, "forget", "nope", "--config", config)
    assert "There is no database 'nope'. Known: email, other." in text
    assert "say --yes" in refused(tmp_path, "forget", "email", "--config", config)
    asked, code = asked_on_a_terminal(tmp_path, config, "n\n")
    assert "Forget what is remembered of Email, 3 rows at last? [y/N]" in asked
    assert code == 1
    assert run(tmp_path, "status", "--config", config).returncode == 3
    asked, code = asked_on_a_terminal(tmp_path, config, "y\n")
    assert (code, asked.endswith(" Email is new again.\n")) == (0, True)


def asked_on_a_terminal(home: Path, config: Path, answer: str) -> tuple[str, int]:
    """What `forget` prints to a person who answers it, and its exit code."""
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
