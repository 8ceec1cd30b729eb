"""The sampler over real databases: what a reading means, given what was seen before."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from dash_app import settings
from dash_app.history.store import History
from dash_app.sampler import Sampler
from dash_app.server import create_server
from tests.harness import LiveWriter, eventually, make_database, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dash_app.model import DatabaseStatus


@pytest.fixture
def config(tmp_path: Path) -> Path:
    databases = [("email", tmp_path / "email.db"), ("other", tmp_path / "other.db")]
    return write_config(tmp_path, databases, history='every = "1s"')


@contextmanager
def sampling(config: Path) -> Iterator[Sampler]:
    loaded = settings.load(config)
    with closing(History(loaded.history)) as history:
        sampler = Sampler(loaded, history)
        sampler.start()
        sampler.first_snapshot.wait(10)
        yield sampler
        sampler.stop()


def email(sampler: Sampler) -> DatabaseStatus:
    assert sampler.snapshot is not None
    return sampler.snapshot.databases[0]


def code(sampler: Sampler) -> str | None:
    fault = email(sampler).fault
    return fault.code if fault else None


def test_the_same_absence_is_calm_before_and_a_fault_after(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "email.db"
    with sampling(config) as sampler:
        first = email(sampler)
        assert (first.status, first.level, code(sampler)) == (
            "not_initialized",
            "notice",
            "file_missing",
        )
        make_database(path, messages=3)
        eventually(lambda: email(sampler).status == "connected")
        assert email(sampler).reading.total_rows == 3
        assert email(sampler).since > first.since
        path.unlink()
        eventually(lambda: email(sampler).status == "error")
        gone = email(sampler)
        assert (gone.level, code(sampler)) == ("fault", "file_missing")
        assert gone.last_good is not None
        assert gone.last_good.total_rows == 3


def test_what_was_seen_is_remembered_over_a_restart(config: Path, tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    with sampling(config) as sampler:
        since = email(sampler).since
    with sampling(config) as sampler:
        assert email(sampler).since == since
    path.unlink()
    with sampling(config) as sampler:
        gone = email(sampler)
        assert (gone.status, code(sampler)) == ("error", "file_missing")
        assert gone.last_good is not None
        assert gone.last_good.total_rows == 3


def test_a_replaced_file_is_read_anew_at_once(config: Path, tmp_path: Path) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with sampling(config) as sampler:
        make_database(tmp_path / "new.db", letters=8).replace(tmp_path / "email.db")
        eventually(lambda: set(email(sampler).reading.tables) == {"letters"})
        assert email(sampler).reading.total_rows == 8


def test_a_history_that_cannot_be_written_stops_no_reading(config: Path, tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    locker = closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None))
    with LiveWriter(path) as writer, sampling(config) as sampler, locker as other:
        other.execute("BEGIN IMMEDIATE")
        for rows in (4, 5, 6):
            writer.do("INSERT INTO messages (text) VALUES ('x')")
            eventually(partial(total_rows_are, sampler, rows))


def total_rows_are(sampler: Sampler, rows: int) -> bool:
    return email(sampler).reading.total_rows == rows


def test_recording_goes_on_when_the_clock_is_set_back(config: Path, tmp_path: Path) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with sampling(config) as sampler:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        sampler.recorded_at = tomorrow
        eventually(lambda: sampler.recorded_at != tomorrow)


def test_health_fails_when_nothing_is_read_any_more(config: Path) -> None:
    with sampling(config) as sampler:
        client = create_server(settings.load(config), sampler, datetime.now(UTC)).test_client()
        assert client.get("/health").status_code == 200
    eventually(lambda: sampler.fresh() is None)
    assert client.get("/health").status_code == 503


def test_a_history_that_cannot_be_written_says_so_and_goes_on_later(
    config: Path, tmp_path: Path
) -> None:
    make_database(tmp_path / "email.db", tasks=3)
    with sampling(config) as sampler:
        assert sampler.history_paused is None
        with closing(sqlite3.connect(tmp_path / "history.db", timeout=5)) as other:
            other.execute("BEGIN EXCLUSIVE")
            said = eventually(lambda: sampler.history_paused)
            assert said == "History paused: its file can't be written. Live counts go on."
            assert email(sampler).status == "connected"
        eventually(lambda: sampler.history_paused is None)
