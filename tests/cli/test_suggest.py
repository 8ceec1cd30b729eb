"""`suggest`: expectations from the history, and measures from the tables, printed or saved."""

import re
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
from dash_app.settings.toml_edit import NotUnderstoodError, add_measures, add_settings
from tests.cli.helpers import run
from tests.harness import LiveWriter, eventually, execute, make_database
from tests.pack_databases import DATABASES, make_pack_database

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


def test_a_table_of_a_month_gets_no_expectation(tmp_path: Path, config: Path) -> None:
    """It falls silent when the next month begins."""
    with closing(History(HistorySettings(path=tmp_path / "history.db"))) as history:
        history.backfill(
            [
                ("email", "events_2026_11", NOW - timedelta(hours=ago), 720 - ago, 720 - ago)
                for ago in range(720, -1, -1)
            ],
            [],
        )
    text = output(tmp_path, "--config", config)
    assert "# email events_2026_11: its name has a date: another table will follow it\n" in text
    assert "[databases.tables.events_2026_11]" not in text


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


def tried(home: Path, *arguments: object) -> list[str]:
    """Return all outputs until it could try all measures: a busy machine may not let it."""
    printed: list[str] = []

    def is_complete() -> bool:
        printed.append(output(home, *arguments))
        return "busy" not in printed[-1]

    eventually(is_complete)
    return printed


def test_measures_are_saved_from_packs_and_by_names_and_nothing_of_a_row_is_written(
    tmp_path: Path,
) -> None:
    gateway = make_pack_database(tmp_path / "state" / "gateway.db", "openclaw")
    tables = "CREATE TABLE bills (id INTEGER PRIMARY KEY, state TEXT, cost REAL, sent_at TEXT)"
    parent = "CREATE TABLE lines (id INTEGER PRIMARY KEY, bill INTEGER REFERENCES bills(id))"
    rows = "INSERT INTO bills VALUES (1, 'a secret state', 2, '2026-11-29T12:00:00Z')"
    execute(gateway, tables, parent, rows, "INSERT INTO lines VALUES (1, 1), (2, 7)")
    config = tmp_path / "config.toml"
    text = f'[[databases]]\nname = "gateway"\npath = "{gateway}"\n'
    config.write_text(f'{text}\n[history]\npath = "h.db"\n')
    with LiveWriter(gateway) as writer:
        assert writer.do("INSERT INTO lines VALUES (3, 1)") == []
        files = set(gateway.parent.iterdir())
        saved = "".join(tried(tmp_path, "--config", config, "--save"))
        assert set(gateway.parent.iterdir()) == files
    assert sum(map(int, re.findall(r"Saved (\d+) measures? to", saved))) == 9
    assert "`pinned = true`" in saved
    text = config.read_text()
    assert "secret" not in saved + text
    assert text.count("# From the pack openclaw.\n") == 5
    for reason in ("Rows whose parent is missing: 1", "bills.state has few different values: 1"):
        assert f"{reason}\n" in text
    (database,) = settings.load(config).databases
    own = "bills_by_state", "bills_cost_24h", "newest_bills", "foreign_keys"
    assert {one.name for one in database.measures} == {*DATABASES["openclaw"].expected, *own}
    *_, again = tried(tmp_path, "--config", config, "--save")
    assert again == "# Nothing to propose.\n# no expectations yet, because there is no history\n"


def test_measures_that_cannot_be_had_are_not_proposed_and_the_reason_is_printed(
    tmp_path: Path, config: Path
) -> None:
    """Here a database that is missing, and a table without a status in one file of a pattern."""
    make = "CREATE TABLE runs (status TEXT, created_at INTEGER)"
    for name in ("email", "second"):
        time = 1764400000 if name == "email" else 1764400000000000
        insert = f"INSERT INTO runs VALUES ('open', {time})"
        execute(make_database(tmp_path / f"{name}.db"), make, insert)
    (tmp_path / "third.db").write_text("not a database")
    pattern = f'[[databases]]\nname = "my"\npath = "{tmp_path}/*.db"\n'
    config.write_text(f'[history]\npath = "history.db"\n{pattern}')
    with closing(History(HistorySettings(path=tmp_path / "history.db"))) as history:
        names = ("email", "second")
        history.store_matches(Match("my", tmp_path / f"{one}.db", one) for one in names)
    *_, printed = tried(tmp_path, "--config", config)
    assert 'name = "runs_by_status"' in printed
    assert "newest_runs" not in printed
    config.write_text(pattern.replace("*", "third") + '[history]\npath = "none.db"\n')
    assert output(tmp_path, "--config", config) == (
        "# Nothing to propose.\n# my: no measures, because its tables cannot be read now\n"
        "# no expectations yet, because there is no history\n"
    )


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


def test_measures_and_tables_stay_together_in_any_order() -> None:
    measure, own = '# why\nname = "{}"\nsql = "SELECT 1"', "foreign_keys = true"
    before = '[[databases]]\nname = "a" # mine\npath = "a.db"\n\n# the end\n[server]\nport = 3100\n'
    text = add_measures(before, {"a": [own, measure.format("x")]})
    text = add_settings(text, {"a": {"t": HOURLY}})
    text = add_measures(text, {"a": [measure.format("y")]})
    text = add_settings(text, {"a": {"u": HOURLY}})
    measures = "".join(f"\n[[databases.measures]]\n{measure.format(name)}\n" for name in "xy")
    tables = "".join(f"\n[databases.tables.{name}]\n{HOURLY}\n" for name in "tu")
    head, end = before.split('path = "a.db"\n')
    assert text == f'{head}{own}\npath = "a.db"\n{measures}{tables}{end}'
    refused = before.replace("path", "foreign_keys = false\npath")
    assert add_measures(refused, {"a": [own]}) == refused
    inline = '[[databases]]\nname = "a"\nmeasures = [{name = "z", sql = "SELECT 1"}]\n'
    with pytest.raises(NotUnderstoodError):
        add_measures(inline, {"a": [measure]})


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
