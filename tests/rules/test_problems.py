"""What is amiss is found, sets level, headline and badge, and ends with its cause or a person."""

from __future__ import annotations

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
from dash_app.rules.problems import LOG_HELD, LOG_HELD_BYTES, wal_problems
from dash_app.rules.resolution import resolve_events
from tests.airlock_helpers import read, read_exact, watching
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
        eventually(lambda: served.json("/api/db-status")["headline"] == "All 2 well")
        yield served


def amiss(served: Served) -> list[tuple[str, str]]:
    return [(one["kind"], one["level"]) for one in served.database("email")["findings"]]


def replace_file(path: Path) -> None:
    make_database(path.with_name("new.db"), tasks=30).replace(path)


def test_lost_rows_are_a_fault_until_they_are_back(served: Served, tmp_path: Path) -> None:
    execute(tmp_path / "email.db", EMPTY)
    eventually(lambda: amiss(served) == [("rows_dropped", "fault")])
    document = served.json("/api/db-status")
    email = document["databases"][0]
    assert (document["level"], document["headline"]) == ("fault", "1 of 2 needs you")
    assert (email["status"], email["level"], email["error"]) == ("connected", "fault", None)
    assert email["verdict"] == "Emptied: tasks 30 → 0."
    assert email["findings"][0]["remedy"].endswith("restore a backup.")
    served.stop()
    served.restart()
    assert amiss(served) == [("rows_dropped", "fault")]
    execute(tmp_path / "email.db", REFILL)
    eventually(lambda: amiss(served) == [])
    assert served.json("/api/db-status")["headline"] == "All 2 well"
    assert served.json("/api/events?limit=1")["events"][0]["endedAt"]
    served.stop()
    served.restart()
    assert amiss(served) == []


def test_a_file_that_is_gone_is_a_finding_and_ends_when_it_is_back(
    served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "email.db"
    path.rename(tmp_path / "aside.db")
    eventually(lambda: amiss(served) == [("gone", "fault")])
    (tmp_path / "aside.db").rename(path)
    eventually(lambda: amiss(served) == [])


def test_another_file_is_a_notice_until_the_former_one_is_back(
    served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "email.db"
    (tmp_path / "former.db").hardlink_to(path)
    replace_file(path)
    eventually(lambda: amiss(served) == [("replaced", "notice")])
    assert served.json("/api/db-status")["headline"] == "1 of 2 needs you"
    assert served.json("/api/db-status")["level"] == "notice"
    (tmp_path / "former.db").replace(path)
    eventually(lambda: amiss(served) == [])


@pytest.mark.parametrize("is_renamed", [True, False])
def test_an_older_state_is_a_fault_until_the_very_file_is_back(
    served: Served, tmp_path: Path, *, is_renamed: bool
) -> None:
    path, older, former = (tmp_path / name for name in ("email.db", "older", "former"))
    shutil.copyfile(path, older)
    os.utime(older, (1e9, 1e9))
    execute(path, REFILL)
    eventually(lambda: served.database("email")["totalRows"] == 60)
    former.hardlink_to(path)
    if is_renamed:
        older.replace(path)
    else:
        shutil.copy2(older, path)
    eventually(lambda: amiss(served) == [("rolled_back", "fault")])
    execute(path, REFILL)
    eventually(lambda: served.database("email")["totalRows"] == 60)
    assert amiss(served) == [("rolled_back", "fault")]
    if is_renamed:
        former.replace(path)
        eventually(lambda: amiss(served) == [])


def found(reading: Reading) -> tuple[Problem, ...]:
    return tuple(wal_problems("a", reading))


def test_a_reader_that_holds_back_a_large_log_is_named(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=1)
    with LiveWriter(path) as writer, LiveWriter(path) as reader, watching(path) as airlock:
        assert reader.do("BEGIN") == []
        assert reader.do("SELECT count(*) FROM tasks") == [[1]]
        assert writer.do(GROW) == []
        reading = read(airlock)
        assert found(reading) == ()
        later = replace(reading, verified_at=reading.verified_at + LOG_HELD + timedelta(minutes=2))
        (held,) = found(later)
        assert (held.code, held.level) == ("log_held", "notice")
        pid = reader.process.pid
        assert held.text.startswith("WAL 82 MB, held back by python")
        assert re.search(rf" \(pid {pid}\) since \d\d:\d\d UTC on \d+ \w{{3}}\.$", held.text)
        assert reader.do("COMMIT") == []
        assert writer.do("PRAGMA wal_checkpoint(PASSIVE)")[0][0] == 0
        freed = read(airlock)
        assert (freed.wal_bytes or 0) > LOG_HELD_BYTES
        assert found(replace(freed, verified_at=later.verified_at)) == ()


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
def test_a_full_disk_is_found_before_it_is_full(
    free: float, total: float, *, is_worth_showing: bool, is_low: bool
) -> None:
    disk = Disk(1, int(free), int(total))
    assert (disk.is_worth_showing, disk.is_low) == (is_worth_showing, is_low)


def test_what_was_acknowledged_ends_and_what_came_later_stays(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", tasks=30, agents=20)
    with watching(path) as airlock:
        memory, _ = apply_reading("a", read_exact(airlock), None)
        execute(path, EMPTY)
        memory, first = apply_reading("a", read_exact(airlock), memory)
        execute(path, "DELETE FROM agents")
        reading = read_exact(airlock)
        _, second = apply_reading("a", reading, memory)
    assert [event.kind for event in (*first, *second)] == ["rows_dropped"] * 2
    settled = resolve_events((*first, *second), (), reading, acknowledged_until=first[0].at)
    assert [event.ended_at is not None for event in settled] == [True, False]
    assert [event.ended_at for event in resolve_events(first, second, reading, None)] == [
        None,
        None,
    ]


def test_all_that_is_known_of_one_database_is_served(served: Served, tmp_path: Path) -> None:
    with LiveWriter(tmp_path / "email.db") as writer:
        assert writer.do("SELECT count(*) FROM tasks") == [[30]]

        def is_open() -> bool:
            """Whether it is seen between two statements: it may be seen in its first one."""
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
