"""A write-ahead log that only grows is reported with its cause, without any setting."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.model.encoding import encode
from dash_app.model.host_facts import Surroundings, WalGrowth
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseState
from dash_app.reader import wal_growth
from dash_app.reader.wal_growth import Growth, Look, follow, summary
from dash_app.rules.problems import host_problems, with_earlier_growth
from dash_app.settings.schema import HistorySettings
from dash_app.system.decoding import decode
from tests.airlock_helpers import read, watching
from tests.harness import LiveWriter, make_database

MB = 1_000_000
NOW = datetime(2026, 11, 23, 14, 2, tzinfo=UTC)


def seen(looks: Iterable[tuple[int, Look | None]]) -> WalGrowth | None:
    """What is known after looks at so many minutes."""
    growth, at = Growth(), 0.0
    for minutes, look in looks:
        at = minutes * 60.0
        growth = follow(growth, look, at, NOW + timedelta(minutes=minutes))
    return summary(growth, at)


def look(used_mb: int, backlog_mb: int | None, main_mb: int = 6, generation: str = "a") -> Look:
    backlog_bytes = None if backlog_mb is None else backlog_mb * MB
    both = "writer (pid 6)"
    readers = ("python (pid 7)", both)
    return Look(generation, used_mb * MB, backlog_bytes, main_mb * MB, readers, (both,))


def test_a_wal_that_nobody_checkpoints_is_lasting_after_ten_minutes() -> None:
    """As in Kpa-clawbot/CoreScope issue 1434, and with `wal_autocheckpoint=0`."""
    grown = [(minute, look(70 + minute, 70 + minute)) for minute in range(11)]
    before, after = seen(grown[:10]), seen(grown)
    assert before is not None
    assert not before.is_lasting
    assert after is not None
    assert after.is_lasting
    assert after.since == NOW
    assert after.is_checkpointed is False
    idle = seen([(0, look(70, 70)), (11, look(70, 70)), (600, look(70, 70))])
    assert idle is not None
    assert idle.is_lasting


def test_a_wal_whose_readers_take_turns_is_lasting_while_it_grows() -> None:
    """As in superseriousbusiness/gotosocial issue 2808: its backlog is small at every look."""
    grown = [(minute, look(70 + minute, minute % 3)) for minute in range(11)]
    found = seen(grown)
    assert found is not None
    assert found.is_lasting
    assert found.is_checkpointed
    assert found.readers == ("python (pid 7)",)
    assert seen([*grown, (20, look(80, 0))]) is None  # large, but free


@pytest.mark.parametrize(
    "looks",
    [
        [(0, look(60, 60)), (11, look(62, 62))],  # small
        [(0, look(900, 900, main_mb=950)), (11, look(940, 940, main_mb=950))],  # below its file
        [(0, look(900, 0)), (11, look(900, 0))],  # wholly checkpointed, and nobody writes
        [(0, look(900, 0)), (5, look(2, 0, generation="b")), (11, look(70, 1, generation="b"))],
        [(0, look(900, 900)), (5, None), (11, look(900, 900))],  # gone in between
    ],
)
def test_a_wal_that_starts_over_or_is_small_or_free_is_not(
    looks: list[tuple[int, Look | None]],
) -> None:
    found = seen(looks)
    assert found is None or not found.is_lasting


def test_a_huge_wal_is_one_beside_a_larger_file_too() -> None:
    looks = [(0, look(1001, 1001, main_mb=5000)), (11, look(1002, None, main_mb=5000))]
    found = seen(looks)
    assert found is not None
    assert found.is_lasting
    assert found.is_checkpointed is None


def reading(growth: WalGrowth) -> Reading:
    around = Surroundings(wal_growth=growth)
    return Reading(NOW, NOW, wal_bytes=636 * MB, size_bytes=6 * MB, surroundings=around)


@pytest.mark.parametrize(
    ("is_checkpointed", "readers", "text"),
    [
        (False, ("node (pid 812)",), "nobody checkpoints it."),
        (True, ("node (pid 812)",), "there is always a reader: node (pid 812)."),
        (None, (), "why was not seen."),
    ],
)
def test_the_finding_names_the_cause(
    *, is_checkpointed: bool | None, readers: tuple[str, ...], text: str
) -> None:
    growth = WalGrowth(NOW, True, "a", is_checkpointed, readers)
    (found,) = host_problems("email", reading(growth))
    assert (found.code, found.level, found.since) == ("wal_growing", "notice", NOW)
    assert found.text.startswith("WAL 636 MB beside a file of 6.0 MB: ")
    assert found.text.endswith(text)
    assert decode(Reading, encode(reading(growth))) == reading(growth)


def test_a_restart_forgets_no_growth(tmp_path: Path) -> None:
    earlier = WalGrowth(NOW - timedelta(hours=1), True, "a", False)
    again = WalGrowth(NOW, False, "a", False)
    after = with_earlier_growth(reading(again), reading(earlier)).surroundings.wal_growth
    assert after == earlier
    database = Database("a", "A", tmp_path / "a.db")
    with closing(History(HistorySettings(path=tmp_path / "history.db"))) as history:
        history.store_state(
            database, DatabaseState("connected", None, NOW, None, None, reading(earlier))
        )
        memory = history.state_of(database)
    assert memory
    assert memory.baseline
    assert memory.baseline.surroundings.wal_growth == earlier
    other = reading(replace(again, generation="b"))
    assert with_earlier_growth(other, reading(earlier)) == other


def test_the_growth_of_a_live_wal_is_measured(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, watching(path) as airlock:
        assert writer.do("PRAGMA wal_autocheckpoint = 0") == [[0]]
        assert writer.do("INSERT INTO agents (text) VALUES (zeroblob(65000000))") == []
        found = read(airlock).surroundings.wal_growth
        assert found is not None
        assert found.is_checkpointed is False
        assert not found.is_lasting
        assert writer.do("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]
        assert read(airlock).surroundings.wal_growth is None
    assert wal_growth.LASTING_SECONDS == 600
