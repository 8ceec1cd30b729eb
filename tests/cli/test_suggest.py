"""`suggest`: expectations from the history of a table, printed or saved."""

import tomllib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dash_app import settings
from dash_app.cli import suggest
from dash_app.history.writer import History
from dash_app.model.expectation import Expectation
from dash_app.model.match import Match
from dash_app.settings.schema import HistorySettings
from dash_app.settings.toml_edit import NotUnderstoodError, add_settings
from tests.cli.helpers import run

NOW = datetime.now(UTC).replace(microsecond=0)
HOURLY = 'expect = {every = "65m", grace = "15m"}'
REASON = "# gained rows every 60 min over 30 days"
CONFIGURATION = """\
# My databases.
[history]
path = "history.db"  # beside it

[[databases]]  # mail
name = "email"
path = "email.db"

[databases.tables."two words"]  # few
min_rows = 1

# The rest.
[[databases]]
name = "other"
path = "other.db"
tables.known.expect = {every = "1d"}

[sampler]
interval = "1s"
"""
SAVED = (
    CONFIGURATION.replace("# few\n", f"# few\n{REASON}\n{HOURLY}\n")
    .replace("min_rows = 1\n", f"min_rows = 1\n\n[databases.tables.messages]\n{REASON}\n{HOURLY}\n")
    .replace('"1d"}\n', f'"1d"}}\n\n[databases.tables.tasks]\n{REASON}\n{HOURLY}\n')
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose history has a month of tables that grow hourly, or never."""
    history = History(HistorySettings(path=tmp_path / "history.db"))
    hourly = ("email", "messages"), ("email", "two words"), ("other", "tasks"), ("other", "known")
    history.backfill(
        [
            (*table, NOW - timedelta(hours=ago), 720 - ago, 720 - ago)
            for ago in range(720, -1, -1)
            for table in (*hourly, ("other", "still"))
            if table[1] != "still" or ago == 720
        ],
        [],
    )
    history.close()
    path = tmp_path / "config.toml"
    path.write_text(CONFIGURATION)
    return path


def output(tmp_path: Path, *arguments: object) -> str:
    done = run(tmp_path, "suggest", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_output_is_valid_configuration(tmp_path: Path, config: Path) -> None:
    text = output(tmp_path, "--config", config)
    parsed = settings.parse(tomllib.loads(text), config)
    expected = Expectation(timedelta(minutes=65), timedelta(minutes=15))
    assert {
        (database.name, table): rules.expect
        for database in parsed.databases
        for table, rules in database.rules.tables.items()
    } == {("email", "messages"): expected, ("email", "two words"): expected} | {
        ("other", "tasks"): expected
    }
    assert text.count(REASON) == 3
    assert text.endswith("\n# no new rows in the history: 1 table\n")
    assert config.read_text() == CONFIGURATION
    assert "other" not in output(tmp_path, "--config", config, "--database", "email")


def test_saving_adds_expectations_and_changes_nothing_else(tmp_path: Path, config: Path) -> None:
    linked = tmp_path / "linked.toml"
    linked.symlink_to(config)
    config.chmod(0o640)
    saved = output(tmp_path, "--config", linked, "--save")
    assert saved.startswith("Saved 3 expectations to")
    assert config.read_text() == SAVED
    assert linked.is_symlink()
    assert config.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "config.toml.old").read_text() == CONFIGURATION
    assert len(settings.load(config).databases[0].rules.tables) == 2

    assert output(tmp_path, "--config", config, "--save").startswith("# Nothing to propose.")
    assert config.read_text() == SAVED


def test_a_pattern_gets_what_fits_all_of_its_files(tmp_path: Path, config: Path) -> None:
    """Here `messages` and `tasks` are in one file each, and `shared` grows in one of two."""
    pattern = "".join(CONFIGURATION.partition("[[databases]]")[:2]) + '\nname = "{}"\npath = "{}"\n'
    text = pattern.format("my", "*.db")
    config.write_text(text)
    with closing(History(HistorySettings(path=tmp_path / "history.db"))) as history:
        names = ("email", "other")
        history.store_matches(Match("my", tmp_path / f"{one}.db", one) for one in names)
        grown = [
            ("email", "shared", NOW - timedelta(hours=ago), 720 - ago, 720 - ago)
            for ago in range(720, -1, -1)
        ]
        history.backfill([*grown, ("other", "shared", NOW - timedelta(hours=720), 1, 1)], [])
    saved = output(tmp_path, "--config", config, "--save", "--database", "other")
    assert saved.startswith("Saved 4 expectations to")
    assert (
        "# my shared: nothing fits all files of this pattern (email every 65m and other without a"
        " rhythm). Name a file alone to give it its own\n"
    ) in saved
    tables = "messages", "two words", "tasks", "known"
    (entry,) = settings.load(config).declared
    assert (entry.pattern, set(entry.tables)) == (str(tmp_path / "*.db"), set(tables))


def test_an_unsupported_file_is_not_changed(tmp_path: Path, config: Path) -> None:
    inline = 'history.path = "history.db"\ndatabases = [{name = "email", path = "email.db"}]\n'
    config.write_text(inline)
    done = run(tmp_path, "suggest", "--config", config, "--save")
    assert (done.returncode, done.stdout) == (1, "")
    assert "was not changed: its databases are not written as [[databases]]" in done.stderr
    assert config.read_text() == inline
    assert not (tmp_path / "config.toml.old").exists()


@pytest.mark.parametrize(
    "text",
    [
        '[[databases]]\nname = "a"\ntables = {}\n',
        '[[databases]]\nname = "a"\n[server]\n[[databases]]\nname = "b"\n',
        '[[databases]]\nname = "a"\ntables.t = {min_rows = 1}\n',
    ],
)
def test_nothing_is_added_if_a_setting_would_end_up_elsewhere(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        add_settings(text, {"a": {"t": HOURLY}})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (  # a header that is not one
            '[[databases]]\nname = "a"\nlabel = """\n[x]\n"""\n',
            '[[databases]]\nname = "a"\nlabel = """\n[x]\n"""\n\n{header}\n{0}\n',
        ),
        ('[[databases]]\r\nname = "a"', '[[databases]]\r\nname = "a"\r\n\r\n{header}\r\n{0}\r\n'),
        (
            '[[databases]]\nname = "b"\n[[databases]]\nname = "a"\n\n# end\n',
            '[[databases]]\nname = "b"\n[[databases]]\nname = "a"\n\n{header}\n{0}\n\n# end\n',
        ),
    ],
)
def test_added_lines_keep_line_endings_and_later_comments(before: str, after: str) -> None:
    header = '[databases.tables."t\\U0000000A\\U00000022"]'
    expected = after.replace("{header}", header).replace("{0}", HOURLY)
    assert add_settings(before, {"a": {'t\n"': HOURLY}}) == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Europe/Paris", "Europe/Paris"),
        ("Etc/UTC", "UTC"),
        ("Etc/GMT+5", "Etc/GMT+5"),
        ("Nowhere/Else", "UTC"),
    ],
)
def test_the_time_zone_is_that_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, expected: str
) -> None:
    local_time = tmp_path / "localtime"
    local_time.symlink_to(f"/usr/share/zoneinfo/{zone}")
    monkeypatch.setattr(suggest, "LOCAL_TIME", local_time)
    assert suggest._zone_name() == expected
