"""Checks of a version before it is started as a service, and after."""

import socket
import subprocess
import sys
from pathlib import Path

from dash_app import settings
from dash_app.service.install_checks import await_answers, plan
from dash_app.settings import Settings
from tests.harness import PATIENCE_SECONDS, ROOT, Served, free_port, make_database, write_config

FOLDER = Path("/srv/agents")


def configured(folder: Path, port: int, *, history: str = "own/history.db") -> Settings:
    data = {
        "server": {"addresses": ["127.0.0.1"], "port": port},
        "history": {"path": history},
        "databases": [{"name": "one", "path": "databases/one.db"}],
    }
    return settings.parse(data, folder / "config.toml")


def test_the_plan_has_history_port_and_link() -> None:
    port = free_port()
    assert list(plan(configured(FOLDER, port))) == [
        ("history", str(FOLDER / "own/history.db")),
        ("port", str(port)),
        ("link", f"http://127.0.0.1:{port}/"),
    ]


def test_the_plan_reports_who_uses_the_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        facts = dict(plan(configured(tmp_path, taken.getsockname()[1])))
    assert "is taken by" in facts["taken"]
    assert f"under [server] in {tmp_path / 'config.toml'}." in facts["taken"]


def test_a_history_beside_a_database_is_warned_about() -> None:
    facts = dict(plan(configured(FOLDER, free_port(), history="history.db")))
    assert facts["warning"].startswith(f"The service can write to {FOLDER}, because it holds our")


def test_a_database_that_the_service_cannot_see_is_reported() -> None:
    facts = dict(plan(configured(Path("/tmp/agents"), free_port())))
    assert facts["warning"].endswith("Move the file out of /tmp/agents/databases.")


def test_a_served_page_has_no_failures(tmp_path: Path) -> None:
    database = make_database(tmp_path / "one.db", tasks=1)
    with Served(write_config(tmp_path, [("one", database)])) as served:
        assert await_answers(configured(tmp_path, served.port)) == []


def test_a_page_that_rejects_this_machine_is_served(tmp_path: Path) -> None:
    database = make_database(tmp_path / "one.db", tasks=1)
    config = write_config(tmp_path, [("one", database)], server='allowed_clients = ["192.0.2.1"]')
    port = free_port()
    command = [sys.executable, "-m", "dash_app", "--config", str(config), "--port", str(port)]
    with subprocess.Popen([*command, "--address", "127.0.0.1"], cwd=ROOT) as process:
        try:
            assert await_answers(configured(tmp_path, port), PATIENCE_SECONDS) == []
        finally:
            process.terminate()


def test_every_path_without_an_answer_is_reported(tmp_path: Path) -> None:
    port = free_port()
    failures = await_answers(configured(tmp_path, port), wait_seconds=0)
    assert [text.partition(" does not answer")[0] for text in failures] == [
        f"http://127.0.0.1:{port}/health",
        f"http://127.0.0.1:{port}/",
    ]


def test_unusable_settings_are_reported(tmp_path: Path) -> None:
    config = tmp_path / ".config/mission-control/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[server]\nport = 0\n")
    done = subprocess.run(
        [sys.executable, "-m", "dash_app.service.install_checks", "plan"],
        cwd=ROOT,
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "[server] `port` = 0" in done.stderr
