"""`discover` finds the databases of agents and services, and adds them to the configuration."""

import os
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from dash_app.history.writer import History
from dash_app.model.match import Match
from dash_app.settings.schema import HistorySettings
from tests.cli.helpers import run
from tests.harness import LiveWriter, execute, make_database
from tests.pack_databases import DATABASES

AGENT = {"schema_meta": 1, "transcript_events": 1}
HERMES = {"messages_fts": 1, "sessions": 1, "state_meta": 1}
DJANGO = {"django_migrations": 1}
HOME_ASSISTANT = {"events": 1, "recorder_runs": 1, "states": 1}

FOUND: dict[str, tuple[dict[str, int], str, str]] = {
    ".openclaw/state/openclaw.sqlite": ({"schema_meta": 1}, "openclaw", ""),
    ".openclaw/agents/main/agent/openclaw-agent.sqlite": (AGENT, "", ""),
    ".openclaw/agents/*/agent/openclaw-agent.sqlite": (AGENT, "openclaw-agent", "OpenClaw agent"),
    ".hermes/state.db": (HERMES, "hermes", ""),
    "clawd/email.db": ({"messages": 1}, "email", ""),
    "projects/shop/db.sqlite3": (DJANGO, "shop", ""),
    "projects/blog/db.sqlite3": (DJANGO, "blog", ""),
    "a/b/c/d/e/f/g/h/home-assistant_v2.db": (HOME_ASSISTANT, "home-assistant", "Home Assistant"),
    "odd/Agents & co": ({"a": 1}, "odd-agents-co", "Odd Agents & co"),
    "fleet/agents-co.db": ({"a": 1}, "fleet-agents-co", ""),
    'odd/it\'s "x"\n.db': ({"a": 1}, "it-s-x", 'It\'s "x"'),
    "odd/Ж.db": ({"a": 1}, "database", "Ж"),
    "projects/sessions.db": ({}, "sessions", ""),
}
"""Databases of a home, each with its tables, its name, and its label if that needs to be set. One
without a name is part of a pattern."""

LEFT_OUT = {
    "clawd/email.db.bak": "backup",
    "clawd/.tmp-email.db": "temporary file",
    "clawd/email.db.corrupt.1764400000": "damaged copy",
    "clawd/email (1).db": "copy",
    "clawd/email-2026-11-28.db": "copy with a date",
    "Backups/2026-11-28/x.db": "backups",
    ".cache/x.db": "cache",
    "projects/shop/node_modules/x.db": "installed packages or a repository's own files",
    "a/b/c/d/e/f/g/h/i/x.db": "too deep",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    for name, (tables, _name, _label) in FOUND.items():
        make_database(home / name.replace("*", "mail bot"), wal=True, **tables)
    execute(home / "projects" / "sessions.db", *DATABASES["django-sessions"].script.split(";"))
    for name in LEFT_OUT:
        make_database(home / name, a=1)
    profile = home / ".config" / "chromium" / "Default"
    (profile / "Local Storage").mkdir(parents=True)
    make_database(profile / "Cookies", a=1)
    make_database(home / os.fsdecode(b"odd/\xff.db"), a=1)
    (home / "link.db").symlink_to(home / "clawd" / "email.db")
    (home / "elsewhere").symlink_to("/usr", target_is_directory=True)
    (home / "notes.db").write_text("not a database")
    History(HistorySettings(path=home / ".local" / "history.db")).close()
    return home


def test_the_databases_of_agents_and_services_are_found_and_others_named(home: Path) -> None:
    with LiveWriter(home / "clawd" / "email.db") as writer:
        assert writer.do("BEGIN IMMEDIATE") == []
        files = set(home.rglob("*"))
        done = run(home, "discover", home)
        assert set(home.rglob("*")) == files
        assert writer.do("INSERT INTO messages (text) VALUES ('x')") == writer.do("COMMIT") == []
    assert (done.returncode, done.stderr) == (0, "")
    found = {one.pop("path"): one for one in tomllib.loads(done.stdout)["databases"]}
    expected = {
        str(home / path): {"name": name, **({"label": label} if label else {})}
        for path, (_tables, name, label) in FOUND.items()
        if name
    }
    assert found == expected
    lines = done.stdout.splitlines()
    for path, reason in LEFT_OUT.items():
        is_file = path.startswith("clawd/")
        shown = path if is_file else path.removesuffix("/x.db").removesuffix("/2026-11-28")
        assert f"#   {reason}: ~/{shown}" in lines
    assert "# Each OpenClaw agent, also new ones, by its tables." in lines
    assert "# `suggest` proposes the measures of django-sessions." in lines
    assert "#   another name of a file that was found: ~/link.db" in lines
    assert "#   history of Mission Control: ~/.local/history.db" in lines
    assert "#   profile of a browser or of a similar program: ~/.config/chromium/Default" in lines
    assert "#   link to a folder elsewhere: ~/elsewhere" in lines
    assert "#   not an SQLite file, or encrypted: ~/notes.db" in lines
    assert "#   name is not valid UTF-8, as TOML needs it: ~/odd/\ufffd.db" in lines


def test_save_adds_missing_databases_and_changes_nothing_else(home: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    before = (
        f'[[databases]] # mine\nname = "email"\npath = "{home}/link.db"\n'
        f'\n[[databases]]\nname = "agent"\npath = "{home}/.openclaw/agents/*/agent/*.sqlite"\n'
        "[databases.tables.schema_meta]\nmin_rows = 1\n\n# the page\n[server]\nport = 3100\n"
        f'[history]\npath = "{tmp_path}/h.db"\n'
    )
    with closing(History(HistorySettings(path=tmp_path / "h.db"))) as history:
        history.store_matches([Match("agent", tmp_path / "gone.db", "blog", is_watched=False)])
    config.write_text(f"\ufeff{before}")  # as some editors on Windows do
    folders = [home / name for name in ("clawd", "projects/blog", "fleet", ".openclaw/agents")]
    done = run(home, "discover", "--config", config, "--save", *folders)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Added 2 databases to {config}. The former file is {config}.old." in done.stdout
    for known in ("clawd/email.db", ".openclaw/agents/main/agent/openclaw-agent.sqlite"):
        assert f"  already in the configuration: ~/{known}" in done.stdout.splitlines()
    added = (
        f'\n[[databases]]\nname = "agents-co"\npath = "{home}/fleet/agents-co.db"\n'
        f'\n[[databases]]\nname = "blog-2"\npath = "{home}/projects/blog/db.sqlite3"\n'
    )
    place = before.index("\n# the page")
    assert config.read_text() == before[:place] + added + before[place:]
    assert Path(f"{config}.old").read_text() == f"\ufeff{before}"
    again = run(home, "discover", "--config", config, "--save", *folders)
    assert again.returncode == 0
    assert config.read_text() == before[:place] + added + before[place:]


def test_save_creates_the_file_of_the_environment_variable(home: Path, tmp_path: Path) -> None:
    config = tmp_path / "new" / "own.toml"
    done = run(home, "discover", home / "clawd", "--save", MISSION_CONTROL_CONFIG=config)
    assert done.returncode == 0
    assert tomllib.loads(config.read_text()) == {
        "databases": [{"name": "email", "path": str(home / "clawd" / "email.db")}]
    }


def test_a_file_that_cannot_be_extended_stays(home: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    text = 'databases = [{name = "a", path = "a.db"}]\n'
    config.write_text(text)
    done = run(home, "discover", "--config", config, "--save", home / "clawd")
    assert done.returncode == 1
    assert "not written as [[databases]]" in done.stderr
    assert config.read_text() == text


def test_nothing_found_is_a_failure_with_the_reason(home: Path, tmp_path: Path) -> None:
    done = run(home, "discover", tmp_path / "nowhere")
    assert done.returncode == 1
    assert f"#   no such folder: {tmp_path}/nowhere" in done.stdout.splitlines()
