"""Problems determine level, headline and badge, and end with their cause or when acknowledged."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dash_app.model.host_facts import Disk
from dash_app.model.problem import Problem
from dash_app.model.reading import Reading
from dash_app.rules.changes import apply_reading
from dash_app.rules.problems import LOG_HELD, LOG_HELD_BYTES, resolve_events, wal_problems
from tests.airlock_helpers import open_airlock, read, read_exact
from tests.harness import LiveWriter, Served, eventually, execute, make_database, write_config

GROW = (
    "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 2000)"
    " INSERT INTO tasks (text) SELECT hex(zeroblob(20000)) FROM many"
)
GB = 1_000_000_000
EMPTY = "DELETE FROM tasks"
REFILL = (
    "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 30)"
    " INSERT INTO tasks (text) SELECT n FROM many"
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    paths = {name: make_database(tmp_path / f"{name}.db", tasks=30) for name in ("email", "health")}
    with Served(write_config(tmp_path, paths.items())) as served:
        eventually(lambda: served.json("/api/db-status")["headline"] == "Both well")
        yield served


def findings_of_email(served: Served) -> list[tuple[str, str]]:
    return [(one["kind"], one["level"]) for one in served.database("email")["findings"]]


def replace_file(path: Path) -> None:
    make_database(path.with_name("new.db"), tasks=30).replace(path)


def test_lost_rows_are_a_fault_until_they_are_back(served: Served, tmp_path: Path) -> None:
    execute(tmp_path / "email.db", EMPTY)
    eventually(lambda: findings_of_email(served) == [("rows_dropped", "fault")])
    document = served.json("/api/db-status")
    email = document["databases"][0]
    assert (document["level"], document["headline"]) == ("fault", "Email lost rows")
    assert (email["status"], email["level"], email["error"]) == ("connected", "fault", None)
    assert email["verdict"] == "Emptied: tasks 30 → 0."
    assert email["findings"][0]["remedy"].endswith("restore a backup.")
    served.stop()
    served.restart()
    assert findings_of_email(served) == [("rows_dropped", "fault")]
    execute(tmp_path / "email.db", REFILL)
    eventually(lambda: findings_of_email(served) == [])
    assert served.json("/api/db-status")["headline"] == "Both well"
    assert served.json("/api/events?limit=1")["events"][0]["endedAt"]
    served.stop()
    served.restart()
    assert findings_of_email(served) == []


def test_a_missing_file_is_a_problem_until_it_is_back(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "email.db"
    path.rename(tmp_path / "aside.db")
    eventually(lambda: findings_of_email(served) == [("gone", "fault")])
    (tmp_path / "aside.db").rename(path)
    eventually(lambda: findings_of_email(served) == [])


def test_another_file_is_a_notice_until_the_original_is_back(
    served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "email.db"
    (tmp_path / "original.db").hardlink_to(path)
    replace_file(path)
    eventually(lambda: findings_of_email(served) == [("replaced", "notice")])
    assert served.json("/api/db-status")["headline"] == "Email was replaced"
    assert served.json("/api/db-status")["level"] == "notice"
    (tmp_path / "original.db").replace(path)
    eventually(lambda: findings_of_email(served) == [])


@pytest.mark.parametrize("is_renamed", [True, False])
def test_an_older_state_is_a_fault_until_the_original_file_is_back(
    served: Served, tmp_path: Path, *, is_renamed: bool
) -> None:
    path, older, original = (tmp_path / name for name in ("email.db", "older", "original"))
    shutil.copyfile(path, older)
    os.utime(older, (1e9, 1e9))
    execute(path, REFILL)
    eventually(lambda: served.database("email")["totalRows"] == 60)
    original.hardlink_to(path)
    if is_renamed:
        older.replace(path)
    else:
        served.await_tick()  # none may see half a copy
        shutil.copy2(older, path)
    eventually(lambda: findings_of_email(served) == [("rolled_back", "fault")])
    execute(path, REFILL)
    eventually(lambda: served.database("email")["totalRows"] == 60)
    assert findings_of_email(served) == [("rolled_back", "fault")]
    if is_renamed:
        original.replace(path)
        eventually(lambda: findings_of_email(served) == [])


def wal_problems_of(reading: Reading) -> tuple[Problem, ...]:
    return tuple(wal_problems("a", reading))


def test_a_reader_that_holds_back_a_large_wal_is_reported(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=1)
    with LiveWriter(path) as writer, LiveWriter(path) as reader, open_airlock(path) as airlock:
        assert reader.do("BEGIN") == []
        assert reader.do("SELECT count(*) FROM tasks") == [[1]]
        assert writer.do(GROW) == []
        reading = read(airlock)
        assert wal_problems_of(reading) == ()
        later = replace(reading, verified_at=reading.verified_at + LOG_HELD + timedelta(minutes=2))
        (held,) = wal_problems_of(later)
        assert (held.code, held.level) == ("log_held", "notice")
        pid = reader.process.pid
        assert held.text.startswith("WAL 82 MB, held back by python")
        assert re.search(rf" \(pid {pid}\) since \d\d:\d\d UTC\.$", held.text)
        assert reader.do("COMMIT") == []
        assert writer.do("PRAGMA wal_checkpoint(PASSIVE)")[0][0] == 0
        freed = read(airlock)
        assert (freed.wal_bytes or 0) > LOG_HELD_BYTES
        assert wal_problems_of(replace(freed, verified_at=later.verified_at)) == ()


@pytest.mark.parametrize(
    ("free", "total", "is_worth_showing", "is_low"),
    [
        (60 * GB, 100 * GB, False, False),
        (9 * GB, 100 * GB, True, False),
        (4 * GB, 100 * GB, True, True),
        (40 * GB, 1000 * GB, True, False),
        (9 * GB, 1000 * GB, True, True),
        (1.9 * GB, 4 * GB, True, False),
        (0.4 * GB, 4 * GB, True, True),
    ],
)
def test_a_disk_is_low_before_it_is_full(
    free: float, total: float, *, is_worth_showing: bool, is_low: bool
) -> None:
    disk = Disk(1, int(free), int(total))
    assert (disk.is_worth_showing, disk.is_low) == (is_worth_showing, is_low)


def test_acknowledged_events_end_and_later_ones_stay(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=30, agents=20)
    with open_airlock(path) as airlock:
        state, _ = apply_reading("a", read_exact(airlock), None)
        execute(path, EMPTY)
        state, first = apply_reading("a", read_exact(airlock), state)
        execute(path, "DELETE FROM agents")
        reading = read_exact(airlock)
        _, second = apply_reading("a", reading, state)
    assert [event.kind for event in (*first, *second)] == ["rows_dropped"] * 2
    resolved = resolve_events((*first, *second), (), reading, acknowledged_until=first[0].at)
    assert [event.ended_at is not None for event in resolved] == [True, False]
    assert [event.ended_at for event in resolve_events(first, second, reading, None)] == [
        None,
        None,
    ]


def test_the_document_of_a_database_has_all_its_facts(served: Served, tmp_path: Path) -> None:
    with LiveWriter(tmp_path / "email.db") as writer:
        assert writer.do("SELECT count(*) FROM tasks") == [[30]]

        def is_open() -> bool:
            """Whether the writer is seen idle: it may first be seen during its statement."""
            holders = served.json("/api/databases/email")["holders"]
            seen = [(one["pid"], one["uses"], one["holdsLogBackSince"]) for one in holders]
            return seen == [(writer.process.pid, ["open"], None)]

        assert eventually(is_open)
    document = served.json("/api/databases/email")
    assert document.items() >= {"name": "email", "totalRows": 30, "events": []}.items()
    assert document["schema"] == {
        "table tasks": "",
        "column tasks.id": "INTEGER",
        "column tasks.text": "TEXT",
    }
    assert document["disk"]["totalBytes"] == sum(shutil.disk_usage(tmp_path)[1:])
    assert served.get("/api/databases/nothing")[0] == 404
