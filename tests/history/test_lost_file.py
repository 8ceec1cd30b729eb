"""The history is deleted, truncated, replaced or damaged while the service runs."""

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.harness import LiveWriter, Served, eventually, make_database, write_config

ROUTES = (
    "/",
    "/databases/email",
    "/glance",
    "/metrics",
    "/api/db-status",
    "/api/databases/email",
    "/api/history",
    "/api/events",
    "/api/incidents",
    "/api/service",
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    make_database(tmp_path / "email.db", messages=3)
    databases = [("email", tmp_path / "email.db"), ("gone", tmp_path / "gone.db")]
    return write_config(tmp_path, databases, history='every = "1s"')


def checkpoint(path: Path) -> None:
    with closing(sqlite3.connect(path)) as own:
        own.execute("PRAGMA wal_checkpoint(FULL)")


def delete(path: Path) -> None:
    for side in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{side}").unlink(missing_ok=True)


def replace_by_folder(path: Path) -> None:
    delete(path)
    path.mkdir()
    (path / "something").touch()


def replace_by_pipe(path: Path) -> None:
    """Opening it waits for a writer forever."""
    delete(path)
    os.mkfifo(path)


def replace_by_text(path: Path) -> None:
    path.with_name("notes").write_text("not a database at all" * 1000)
    path.with_name("notes").replace(path)


def empty(path: Path) -> None:
    checkpoint(path)
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    checkpoint(path)
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))


def cut(path: Path) -> None:
    checkpoint(path)
    os.truncate(path, 5000)


def overwrite_all_but_the_head(path: Path) -> None:
    """Damage as by a bad disk: SQLite finds it only in the pages that it reads."""
    checkpoint(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


LOSSES: dict[str, Callable[[Path], object]] = {
    "deleted": delete,
    "deleted alone": Path.unlink,
    "emptied": empty,
    "cut": cut,
    "a folder": replace_by_folder,
    "a pipe": replace_by_pipe,
    "another file": replace_by_text,
    "noise": overwrite,
    "noise inside": overwrite_all_but_the_head,
}


def lost_files(path: Path) -> set[Path]:
    """The files that were set aside, without side files."""
    found = path.parent.glob("*.lost-*")
    return {file for file in found if not file.name.endswith(("-wal", "-shm"))}


def points(path: Path) -> int:
    """The number of points in a sound history; 0 for any other file."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as own:
            if own.execute("PRAGMA quick_check").fetchone() != ("ok",):
                return 0
            found: int = own.execute("SELECT count(*) FROM point").fetchone()[0]
            return found
    except sqlite3.Error:
        return 0


def test_a_lost_history_starts_again_and_the_page_says_so(config: Path) -> None:
    """Readings go on, no route fails, and we delete nothing."""
    path = config.with_name("history.db")
    with Served(config) as served, LiveWriter(config.with_name("email.db")) as writer:
        for rows, (kind, lose) in enumerate(LOSSES.items(), 4):
            eventually(lambda: points(path) > 1)
            before, kept = served.log.count("history starts again"), lost_files(path)
            lose(path)
            writer.do("INSERT INTO messages (text) VALUES ('x')")
            assert {served.get(route)[0] for route in ROUTES} <= {200, 503}, kind
            eventually(partial(lambda n: served.log.count("history starts again") > n, before))
            eventually(partial(lambda n: served.database("email")["totalRows"] == n, rows))
            if kind != "emptied":  # an empty file is set aside only if a reader saw it first
                assert bool(lost_files(path) - kept) == ("deleted" not in kind)
        eventually(lambda: points(path) > 1)
        assert {served.get(route)[0] for route in ROUTES} == {200}
        assert "The history starts again on" in served.get("/")[1]
        assert "its file is damaged" in served.json("/api/service")["historyProblem"]
        assert "Traceback" not in served.log


def test_events_and_incidents_in_memory_are_stored_in_the_new_history(config: Path) -> None:
    path, email = config.with_name("history.db"), config.with_name("email.db")
    with Served(config) as served:
        email.unlink()
        eventually(lambda: served.json("/api/incidents?open=true")["incidents"])
        before = served.json("/api/incidents?open=true")["incidents"]
        delete(path)
        eventually(lambda: "The history starts again on" in served.get("/")[1])
        assert served.json("/api/incidents?open=true")["incidents"] == before
        assert [event["kind"] for event in served.json("/api/events")["events"]] == ["gone"]
        served.stop()
        served.restart()
        assert served.database("email")["lastGood"]["totalRows"] == 3


def test_a_restored_copy_of_the_history_is_used(config: Path) -> None:
    """A person can restore a copy while the service runs."""
    path, copy = config.with_name("history.db"), config.with_name("copy.db")
    with Served(config) as served:
        eventually(lambda: points(path) > 1)
        with closing(sqlite3.connect(path)) as own:
            own.execute("VACUUM INTO ?", (str(copy),))
        with closing(sqlite3.connect(copy)) as own, own:
            own.execute("INSERT INTO watched VALUES ('copied', unixepoch() - 9, unixepoch())")
        copy.replace(path)
        eventually(lambda: "its file was replaced" in served.get("/")[1])
    with closing(sqlite3.connect(path)) as own:
        assert own.execute("SELECT 1 FROM watched WHERE database = 'copied'").fetchone()
    assert {file.name[-4:] for file in path.parent.glob("*.lost-*")} == {"-wal", "-shm"}


def test_another_programs_database_in_its_place_is_left_unchanged(config: Path) -> None:
    path, other = config.with_name("history.db"), config.with_name("other.db")
    with Served(config) as served:
        eventually(lambda: points(path) > 1)
        make_database(other, wal=False, things=5).replace(path)
        content = path.read_bytes()
        eventually(lambda: "it is another program&#x27;s database" in served.get("/")[1])
        assert {served.get(route)[0] for route in ROUTES} <= {200, 503}
        assert path.read_bytes() == content
        served.process.send_signal(signal.SIGHUP)
        eventually(lambda: "reload rejected" in served.log)
        assert "the history cannot be read. History paused: it is another program" in served.log
        assert served.log.count("state not stored") == 1
        path.unlink()
        eventually(lambda: points(path) > 1)
        eventually(lambda: "History paused" not in served.get("/")[1])


def test_a_history_damaged_while_stopped_is_set_aside_at_start(config: Path) -> None:
    path = config.with_name("history.db")
    with Served(config) as served:
        eventually(lambda: points(path) > 1)
        served.stop()
        overwrite_all_but_the_head(path)
        served.restart()
        assert "its file is damaged" in served.get("/")[1]
    assert list(path.parent.glob("*.lost-*"))
