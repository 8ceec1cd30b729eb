"""A WAL that only grows is reported with its cause, without any setting."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dash_app.history.writer import History
from dash_app.model.database import Database
from dash_app.model.encoding import encode
from dash_app.model.host_facts import Holder, Surroundings, WalGrowth
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseState
from dash_app.reader import wal_growth
from dash_app.reader.wal_growth import GrowthState, WalSample
from dash_app.rules.problems import wal_problems, with_earlier_growth
from dash_app.settings.schema import HistorySettings
from dash_app.system.decoding import decode
from tests.airlock_helpers import open_airlock, read
from tests.harness import LiveWriter, make_database

MB = 1_000_000
NOW = datetime(2026, 11, 23, 14, 2, tzinfo=UTC)


def report_after(samples: Iterable[tuple[int, WalSample | None]]) -> WalGrowth | None:
    """The report after samples at given minutes."""
    growth, at = GrowthState(), 0.0
    for minutes, wal_sample in samples:
        at = minutes * 60.0
        growth = growth.updated(wal_sample, at, NOW + timedelta(minutes=minutes))
    return growth.report(at)


def sample(used: int, backlog: int | None, *, main: int = 6, generation: str = "a") -> WalSample:
    """A sample of sizes in megabytes, with a reader, and a process that reads and writes."""
    backlog_bytes = None if backlog is None else backlog * MB
    both = "writer (pid 6)"
    readers = ("python (pid 7)", both)
    return WalSample(generation, used * MB, backlog_bytes, main * MB, readers, (both,))


def test_a_wal_that_nobody_checkpoints_is_lasting_after_ten_minutes() -> None:
    """As in Kpa-clawbot/CoreScope issue 1434, and with `wal_autocheckpoint=0`."""
    samples = [(minute, sample(70 + minute, 70 + minute)) for minute in range(11)]
    before, after = report_after(samples[:10]), report_after(samples)
    assert before is not None
    assert not before.is_lasting
    assert after is not None
    assert after.is_lasting
    assert after.since == NOW
    assert after.is_checkpointed is False
    idle = report_after([(0, sample(70, 70)), (11, sample(70, 70)), (600, sample(70, 70))])
    assert idle is not None
    assert idle.is_lasting


def test_a_wal_that_was_checkpointed_between_two_samples_is_behind_since_then() -> None:
    """As by a program that checkpoints seldom, and writes much at once."""
    samples = [(minute, sample(75, 75, generation="ab"[minute > 5])) for minute in range(15)]
    report = report_after(samples)
    assert report is not None
    assert not report.is_lasting
    assert report.since == NOW + timedelta(minutes=6)


def test_a_wal_whose_readers_alternate_is_lasting_while_it_grows() -> None:
    """As in superseriousbusiness/gotosocial issue 2808: its backlog is small in every sample."""
    samples = [(minute, sample(70 + minute, minute % 3)) for minute in range(11)]
    report = report_after(samples)
    assert report is not None
    assert report.is_lasting
    assert report.is_checkpointed
    assert report.readers == ("python (pid 7)",)
    assert report_after([*samples, (20, sample(80, 0))]) is None  # large, but no longer growing


@pytest.mark.parametrize(
    "samples",
    [
        [(0, sample(60, 60)), (11, sample(62, 62))],  # small
        [(0, sample(900, 900, main=950)), (11, sample(940, 940, main=950))],  # below its main file
        [(0, sample(900, 0)), (11, sample(900, 0))],  # fully checkpointed, without writes
        [
            (0, sample(900, 0)),
            (5, sample(2, 0, generation="b")),
            (11, sample(70, 1, generation="b")),
        ],
        [(0, sample(900, 900)), (5, None), (11, sample(900, 900))],  # gone in between
    ],
)
def test_a_wal_that_starts_over_or_is_small_or_checkpointed_is_not_lasting(
    samples: list[tuple[int, WalSample | None]],
) -> None:
    report = report_after(samples)
    assert report is None or not report.is_lasting


def test_a_huge_wal_is_lasting_even_beside_a_larger_main_file() -> None:
    samples = [(0, sample(1001, 1001, main=5000)), (11, sample(1002, None, main=5000))]
    report = report_after(samples)
    assert report is not None
    assert report.is_lasting
    assert report.is_checkpointed is None


def reading(growth: WalGrowth, *, are_holders_known: bool = True) -> Reading:
    holders = (Holder(6, "writer", ("write",), NOW),) if are_holders_known else None
    surroundings = Surroundings(wal_growth=growth, holders=holders)
    return Reading(NOW, NOW, wal_bytes=636 * MB, size_bytes=6 * MB, surroundings=surroundings)


@pytest.mark.parametrize(
    ("is_checkpointed", "readers", "text"),
    [
        (False, ("node (pid 812)",), "no program has checkpointed it since 14:02 UTC."),
        (True, ("node (pid 812)",), "it always has a reader: node (pid 812)."),
        (None, (), "for an unknown reason."),
    ],
)
def test_the_problem_names_the_cause(
    *, is_checkpointed: bool | None, readers: tuple[str, ...], text: str
) -> None:
    growth = WalGrowth(NOW, True, "a", is_checkpointed, readers)
    (problem,) = wal_problems("email", reading(growth))
    assert (problem.code, problem.level, problem.since) == ("wal_growing", "notice", NOW)
    assert problem.text.startswith("WAL 636 MB for a file of 6.0 MB: ")
    assert problem.text.endswith(text)
    assert decode(Reading, encode(reading(growth))) == reading(growth)


def test_a_reader_that_cannot_be_seen_is_not_excluded_as_the_cause() -> None:
    """As in a container, which does not list the locks of other programs."""
    growth = WalGrowth(NOW, True, "a", False)
    (problem,) = wal_problems("email", reading(growth, are_holders_known=False))
    assert problem.text.endswith("MB: not checkpointed since 14:02 UTC.")
    assert "wal_autocheckpoint" not in problem.remedy


def test_the_growth_survives_a_restart(tmp_path: Path) -> None:
    earlier = WalGrowth(NOW - timedelta(hours=1), True, "a", False)
    again = WalGrowth(NOW, False, "a", False)
    after = with_earlier_growth(reading(again), reading(earlier)).surroundings.wal_growth
    assert after == earlier
    database = Database("a", "A", tmp_path / "a.db")
    with closing(History(HistorySettings(path=tmp_path / "history.db"))) as history:
        history.store_state(
            database, DatabaseState("connected", None, NOW, None, None, reading(earlier))
        )
        state = history.state_of(database)
    assert state
    assert state.baseline
    assert state.baseline.surroundings.wal_growth == earlier
    other = reading(replace(again, generation="b"))
    assert with_earlier_growth(other, reading(earlier)) == other


def test_the_growth_of_a_live_wal_is_measured(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do("PRAGMA wal_autocheckpoint = 0") == [[0]]
        assert writer.do("INSERT INTO agents (text) VALUES (zeroblob(65000000))") == []
        growth = read(airlock).surroundings.wal_growth
        assert growth is not None
        assert growth.is_checkpointed is False
        assert not growth.is_lasting
        assert writer.do("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]
        assert read(airlock).surroundings.wal_growth is None
    assert wal_growth.LASTING_SECONDS == 600
