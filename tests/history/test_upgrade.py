"""A history of the version before: it is copied, migrated with all it has, and can be put back."""

import os
import re
import shutil
import sqlite3
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from dash_app.history.file import COPY_SUFFIX
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.schema import MIGRATIONS, UnusableHistoryError
from dash_app.history.writer import History
from dash_app.model.database import HISTORY_APPLICATION_ID
from dash_app.model.match import Match
from dash_app.settings.schema import HistorySettings
from tests.harness import ROOT

BEFORE = 5
"""The schema of the version before."""

BEFORE_MEASURES = 7

AT = "2026-11-01T00:00:00+00:00"
BASELINE = f'{{"read_at": "{AT}", "verified_at": "{AT}", "tables": {{}}}}'
ROWS: dict[str, list[tuple[object, ...]]] = {
    "series": [(1, "email", "tasks", "rows"), (2, "email", None, "size_bytes")],
    "point": [(1, 60, 5, 5), (1, 120, None, 5), (2, 60, 4096, None)],
    "watched": [("email", 60, 7260)],
    "memory": [("email", "/srv/email.db", "connected", None, AT, AT, 5, 1, None, BASELINE)],
    "event": [(3, "email", "rows_dropped", AT, '{"rows": {"tasks": 9}}', "{}", None)],
    "rollup": [(1, 3600, 0, 5, 5, 5, 5), (1, 86400, 0, 5, 5, 5, 5)],
    "incident": [
        (
            *(7, "email:down", "down", "fault", '["email"]', "[]", "Email: x.", "Fix.", AT),
            *(None, "ann", AT, None),
        )
    ],
    "message": [
        (
            *(4, "0badcafe", 7, "email:down", "fault", "Email", "x", AT, AT, 1, AT, None),
            *("no answer", "[]", 0, None),
        )
    ],
}
"""Rows of each table, as the version before wrote them."""

PUT_BACK = re.search(
    r"^put_back_history\(\).*?^}$",
    (ROOT / "ops/install").read_text(),
    re.MULTILINE | re.DOTALL,
)


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of each table, in the columns that it had before."""
    with closing(sqlite3.connect(":memory:")) as before, closing(sqlite3.connect(path)) as now:
        before.executescript(";".join(MIGRATIONS[:BEFORE]))
        columns = {
            table: ", ".join(
                f'"{name}"' for _, name, *_ in before.execute(f"PRAGMA table_info({table})")
            )
            for table in ROWS
        }
        return {
            table: now.execute(f"SELECT {columns[table]} FROM {table} ORDER BY 1, 2, 3").fetchall()
            for table in ROWS
        }


def written(folder: Path, version: int) -> Path:
    """Return a history that a version with this schema wrote, its last rows still in the WAL."""
    path = folder / "history.db"
    writer = sqlite3.connect(path)
    writer.execute(f"PRAGMA application_id = {HISTORY_APPLICATION_ID}")
    writer.execute("PRAGMA journal_mode = WAL")
    writer.executescript(";".join(MIGRATIONS[:BEFORE]))
    later = ";".join(MIGRATIONS[BEFORE:version])
    writer.execute(f"PRAGMA user_version = {version}")
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with writer:
        for table, rows in ROWS.items():
            places = ", ".join("?" * len(rows[0]))
            writer.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
    writer.executescript(later)
    killed = folder / "killed"
    killed.mkdir()
    for side in ("", "-wal"):
        shutil.copyfile(f"{path}{side}", killed / f"history.db{side}")
    writer.close()
    return killed / "history.db"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history that the version before wrote."""
    return written(tmp_path, BEFORE)


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


def test_every_row_of_the_version_before_is_migrated(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        assert {name for (name,) in tables} - {"sqlite_sequence"} == set(ROWS)
    reader, match = ReadOnlyHistory(path), Match("agent", Path("/srv/a.db"), "agent-a")
    assert (reader.matches(), reader.states("integrity")) == ((), {})  # which had no tables yet
    with closing(History(HistorySettings(path=path))) as history:
        assert contents(path) == ROWS
        history.store_matches([match])
        assert reader.matches() == history.matches() == (match,)
        (incident,) = find_incidents(path, IncidentQuery())
        assert (incident.evidence, len(incident.notifications)) == ("", 1)
    assert version_of(path) == len(MIGRATIONS)


def test_counts_stay_whole_numbers_beside_the_values_of_measures(tmp_path: Path) -> None:
    path = written(tmp_path, BEFORE_MEASURES)
    History(HistorySettings(path=path)).close()
    copy = path.with_name(f"{path.name}{COPY_SUFFIX}")
    assert (version_of(copy), version_of(path)) == (BEFORE_MEASURES, len(MIGRATIONS))
    assert contents(path) == contents(copy) == ROWS
    with closing(sqlite3.connect(path)) as connection:
        for table, counts, numbers in (
            ("point", ("value", "written"), ("number",)),
            (
                "rollup",
                ("last", "least", "greatest", "written"),
                ("last_number", "least_number", "greatest_number"),
            ),
        ):
            info = connection.execute(f"PRAGMA table_info({table})")
            types = {name: kind for _, name, kind, *_ in info}
            assert {types[name] for name in counts} == {"INTEGER"}
            assert {types[name] for name in numbers} == {"REAL"}
            found = connection.execute(f"SELECT DISTINCT {', '.join(numbers)} FROM {table}")
            assert found.fetchall() == [(None,) * len(numbers)]


def test_a_migration_first_copies_the_file_and_keeps_one_copy(path: Path) -> None:
    copy = path.with_name(f"{path.name}{COPY_SUFFIX}")
    copy.write_text("of an earlier upgrade")
    copy.with_name(f"{copy.name}.new").write_text("interrupted")
    History(HistorySettings(path=path)).close()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert {file.name for file in path.parent.iterdir()} == {path.name, copy.name}
    assert (version_of(copy), contents(copy)) == (BEFORE, ROWS)
    made_at = copy.stat().st_mtime_ns
    History(HistorySettings(path=path)).close()
    assert copy.stat().st_mtime_ns == made_at


def test_a_new_history_is_not_copied(tmp_path: Path) -> None:
    History(HistorySettings(path=tmp_path / "history.db")).close()
    assert [file.name for file in tmp_path.iterdir()] == ["history.db"]


def test_without_room_for_a_copy_the_new_version_does_not_touch_the_history(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000_000))
    with pytest.raises(UnusableHistoryError, match="50 MB are free"):
        History(HistorySettings(path=path))
    assert (version_of(path), contents(path)) == (BEFORE, ROWS)
    assert not list(path.parent.glob("*.before-upgrade*"))


def put_back(path: Path, began: float) -> str:
    """Run the function of ops/install that restores the history; return its output."""
    assert PUT_BACK
    script = "set -eu; say() { printf '%s\\n' \"$@\"; }\n" + PUT_BACK[0] + "\nput_back_history"
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "history": str(path), "began": str(int(began))},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_installer_puts_back_the_copy_of_this_upgrade_alone(path: Path) -> None:
    began = time.time()
    assert put_back(path, began) == ""  # nothing was migrated
    with closing(History(HistorySettings(path=path))) as history:
        with history.incidents.connection as connection:
            connection.execute("UPDATE point SET value = 99")
        killed = path.with_name("after.db")
        for side in ("", "-wal", COPY_SUFFIX):
            shutil.copy2(f"{path}{side}", f"{killed}{side}")
    assert put_back(killed, began + 3600) == ""  # it is of an earlier upgrade
    link = path.with_name("link.db")
    link.symlink_to(killed)
    assert put_back(link, began) == "The history is as it was before the upgrade.\n"
    assert link.is_symlink()
    assert (version_of(killed), contents(killed)) == (BEFORE, ROWS)
    assert not killed.with_name(f"{killed.name}{COPY_SUFFIX}").exists()
