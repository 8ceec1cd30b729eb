"""A running transaction is never read, and a lock is reported once it lasts."""

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dash_app.airlock import airlock as parent
from dash_app.airlock.self_check import count_locks
from dash_app.doctor.databases import _writers
from dash_app.model.database import Database
from dash_app.model.encoding import encode
from dash_app.model.reading import LastGood, Reading
from dash_app.model.snapshot import DatabaseState
from dash_app.reader.locks import find_write_lock
from dash_app.reader.routes import LOCK_FREE_WAL_BYTES
from dash_app.system.decoding import decode
from dash_app.system.processes import record_locks
from tests.airlock_helpers import await_quiet, open_airlock, read, read_exact, read_until, rows
from tests.harness import LiveWriter, Served, eventually, make_database, write_config
from tests.mounts import CAN_MOUNT

pytestmark = pytest.mark.usefixtures("count_at_once")

MANY = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 300)"
INSERTS = f"{MANY} INSERT INTO agents (text) SELECT hex(randomblob(2000)) FROM many"

LOCKER = """
import fcntl, os, struct, sys
file = open(sys.argv[1], "r+b")
if sys.argv[2] == "flock":
    fcntl.flock(file, fcntl.LOCK_EX)
elif sys.argv[2] == "ofd":
    fcntl.fcntl(file, 37, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0))
else:
    fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locker(path: Path, how: str) -> Iterator[int]:
    """Start a process that holds one lock on a whole file; yield its pid."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield process.pid
        process.kill()


@pytest.mark.parametrize(
    "how", [INSERTS, "DELETE FROM agents WHERE id % 5 <> 0", "DELETE FROM agents"]
)
@pytest.mark.parametrize("mode", ["MEMORY", "OFF"])
def test_a_transaction_without_a_journal_on_disk_keeps_the_last_reading(
    tmp_path: Path, mode: str, how: str
) -> None:
    """As in ceph/paddles pull request 56 and owntone/owntone-server pull request 40."""
    path = make_database(tmp_path / "a.db", wal=False, agents=3000)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        writer.do("CREATE INDEX by_text ON agents (text)")
        before = read_exact(airlock)
        writer.do(f"PRAGMA journal_mode = {mode}")
        for sql in ("PRAGMA cache_size = 5", "BEGIN", how):
            assert "error" not in writer.do(sql)
        for _ in range(3):
            during = read(airlock)
            assert rows(during) == {"agents": 3000}
            assert during.verified_at == before.verified_at
            assert during.wait_reason == "lock"
            assert during.detail["holder"].endswith(f"(pid {writer.process.pid})")
        if mode == "MEMORY":
            assert writer.do("ROLLBACK") == []
            assert rows(read_exact(airlock)) == {"agents": 3000}
        else:
            assert writer.do("COMMIT") == []
            after = read_exact(airlock)
            assert after.total_rows != 3000
            assert not after.detail


@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_write_lock_on_an_untouched_file_keeps_the_last_reading(tmp_path: Path, how: str) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    await_quiet(tmp_path)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        before = read(airlock)
        assert writer.do(how) == []
        during = read(airlock)
        assert during.verified_at == before.verified_at
        assert str(writer.process.pid) in during.detail["holder"]
        writer.kill()
        after = read(airlock)
        assert after.verified_at > before.verified_at
        assert not is_kept(after)


def is_kept(reading: Reading) -> bool:
    """Whether a reading was kept because its database is locked, for less than 60 s."""
    return reading.code is None and reading.wait_reason is not None


def test_a_writer_that_waits_for_a_reader_keeps_the_last_reading(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with LiveWriter(path) as reader, LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert reader.do("BEGIN") == []
        assert reader.do("SELECT count(*) FROM agents") == [[3]]
        assert rows(read_exact(airlock)) == {"agents": 3}  # readers do not block each other
        assert not is_kept(read(airlock))
        assert writer.do("PRAGMA busy_timeout = 0") == [[0]]
        assert writer.do("BEGIN IMMEDIATE") == []
        assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
        assert writer.do("COMMIT") == {"error": "SQLITE_BUSY"}  # now it holds the PENDING lock
        assert is_kept(read(airlock))
        assert reader.do("COMMIT") == writer.do("COMMIT") == []
        assert rows(read_exact(airlock)) == {"agents": 4}


@pytest.mark.parametrize("how", ["posix", "ofd"])
def test_a_lock_on_the_whole_file_keeps_the_last_reading(tmp_path: Path, how: str) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with open_airlock(path) as airlock:
        read(airlock)
        with locker(path, how) as pid:
            kept = read(airlock)
            assert is_kept(kept)
            assert (str(pid) in kept.detail["holder"]) == (how == "posix")
        assert not is_kept(read(airlock))


def test_locks_that_sqlite_ignores_are_ignored(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with open_airlock(path) as airlock, locker(path, "flock"):
        reading = read(airlock)
        assert rows(reading) == {"agents": 3}
        assert reading.surroundings.holders == ()


def test_a_database_in_exclusive_mode_is_read_beside_its_writer(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do("PRAGMA locking_mode = EXCLUSIVE") == [["exclusive"]]
        for count in range(4, 24):
            assert writer.do("INSERT INTO agents (text) VALUES ('one more')") == []
            assert rows(read_exact(airlock)) == {"agents": count}
        assert writer.do("BEGIN") == []
        assert writer.do("DELETE FROM agents") == []
        assert rows(read_exact(airlock)) == {"agents": 23}


def test_a_large_wal_in_exclusive_mode_is_read_while_it_is_written(tmp_path: Path) -> None:
    """Without checkpoints it grows without limit, and no other process can read it."""
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do("PRAGMA locking_mode = EXCLUSIVE") == [["exclusive"]]
        assert writer.do("PRAGMA wal_autocheckpoint = 0") == [[0]]
        large = LOCK_FREE_WAL_BYTES + 1
        assert writer.do(f"INSERT INTO agents (text) VALUES (zeroblob({large}))") == []
        reading = read(airlock)
        assert (reading.wal_bytes or 0) > large
        assert (reading.wait_reason, reading.code) == (None, None)
        assert rows(read_exact(airlock)) == {"agents": 4}


def test_a_lasting_lock_is_reported_until_the_next_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert not is_kept(read(airlock))
        assert writer.do("BEGIN IMMEDIATE") == []
        assert is_kept(read(airlock))
        monkeypatch.setattr(parent, "LOCKED_SECONDS", 0)
        for _ in range(2):
            locked = read(airlock)
            assert locked.code == "locked"
            assert not locked.is_undecided
        assert writer.do("COMMIT") == []
        assert rows(read(airlock)) == {"agents": 3}


def test_a_lock_at_the_first_reading_is_undecided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do("BEGIN EXCLUSIVE") == []
        first = read(airlock)
        assert (first.code, first.is_undecided) == ("locked", True)
        assert str(writer.process.pid) in first.detail["holder"]
        monkeypatch.setattr(parent, "LOCKED_SECONDS", 0)
        assert not read(airlock).is_undecided


def test_a_lock_of_another_pid_namespace_is_found(tmp_path: Path) -> None:
    """`/proc/locks` does not list it, but fcntl(2) reports it."""
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    code = f"from dash_app.reader.locks import *; print(find_write_lock({str(path)!r}))"
    inside = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    with LiveWriter(path) as writer:
        assert writer.do("BEGIN IMMEDIATE") == []
        assert find_write_lock(str(path)) == writer.process.pid
        done = subprocess.run(inside, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no pid namespace available: {done.stderr}")
        assert done.stdout == "0\n"


def test_other_lines_of_proc_locks_are_ignored(tmp_path: Path) -> None:
    """A lease that another process waits for has the file `<none>:0`. Samba and NFS take leases."""
    leased = tmp_path / "leased"
    leased.write_text("x")
    previous = signal.signal(signal.SIGIO, signal.SIG_IGN)
    locked = make_database(tmp_path / "a.db")
    with leased.open("rb") as file, locker(locked, "posix"):
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        with subprocess.Popen(["sh", "-c", f"echo y >> {leased}"]) as waiting:
            eventually(lambda: "BREAKING" in Path("/proc/locks").read_text())
            assert any(lock.file[1] == locked.stat().st_ino for lock in record_locks())
            assert count_locks({waiting.pid, -1}, {"0:0"}) == 0
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    signal.signal(signal.SIGIO, previous)


def test_a_kept_reading_can_be_stored(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        read(airlock)
        assert writer.do("BEGIN IMMEDIATE") == []
        kept = read_until(airlock, is_kept)
        assert decode(Reading, encode(kept)) == kept


def test_a_wal_beside_another_name_of_the_file_is_reported(tmp_path: Path) -> None:
    """As in openclaw/openclaw issue 144585 and evcc-io/evcc pull request 30903."""
    path = make_database(tmp_path / "inside" / "a.db", agents=3)
    (tmp_path / "linked").mkdir()
    alias = tmp_path / "linked" / "alias.db"
    alias.hardlink_to(path)
    with open_airlock(alias, path) as airlock, LiveWriter(path) as writer:
        assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
        reading = read(airlock)
        assert reading.code == "wal_elsewhere"
        assert reading.detail["holder"].endswith(f"(pid {writer.process.pid})")
        assert rows(read_exact(airlock, "1")) == {"agents": 4}
        assert writer.do("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]
        assert read(airlock).code == "wal_elsewhere"
        assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
        writer.kill()
        left = read(airlock)
        assert rows(left) == {"agents": 4}
        assert [count.estimate for count in left.tables.values()] == ["about"]
        assert "main_only" in left.detail
    assert not [*alias.parent.glob("alias.db-*")]


@pytest.mark.skipif(not CAN_MOUNT, reason="mounting requires root")
def test_the_wal_of_a_file_that_is_mounted_alone_is_elsewhere(tmp_path: Path) -> None:
    """As in sissbruecker/linkding issue 1178: one file, mounted into a container."""
    path = make_database(tmp_path / "a.db", agents=3)
    (tmp_path / "inside").mkdir()
    inside = tmp_path / "inside" / "a.db"
    inside.touch()
    subprocess.run(["mount", "--bind", path, inside], check=True)
    try:
        with LiveWriter(inside) as writer, open_airlock(path) as airlock:
            assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
            assert read(airlock).code == "wal_elsewhere"
            assert writer.process.stdin is not None
            writer.process.stdin.close()
            assert writer.process.wait() == 0
            assert rows(read_exact(airlock)) == {"agents": 4}
    finally:
        subprocess.run(["umount", inside], check=True)


def test_a_wal_that_was_removed_under_its_writer_is_reported(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer, open_airlock(path) as airlock:
        assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
        assert rows(read_exact(airlock)) == {"agents": 4}
        for side in ("-wal", "-shm"):
            path.with_name(f"a.db{side}").unlink()
        conflicts = read_until(airlock, has_conflicts).surroundings.conflicts
        assert [(c.kind, c.pid) for c in conflicts] == [("wal_split", writer.process.pid)]


def has_conflicts(reading: Reading) -> bool:
    return bool(reading.surroundings.conflicts)


def test_a_second_wal_beside_another_name_is_reported(tmp_path: Path) -> None:
    """Two programs that use one file by two names overwrite each other's commits."""
    path = make_database(tmp_path / "a.db", agents=3)
    (tmp_path / "other").mkdir()
    alias = tmp_path / "other" / "alias.db"
    alias.hardlink_to(path)
    with open_airlock(path) as airlock, LiveWriter(path) as here:
        assert here.do("INSERT INTO agents (text) VALUES ('x')") == []
        assert rows(read_exact(airlock)) == {"agents": 4}
        with LiveWriter(alias) as elsewhere:
            assert elsewhere.do("INSERT INTO agents (text) VALUES ('y')") == []
            reading = read_until(airlock, has_conflicts)
            (conflict,) = reading.surroundings.conflicts
            assert (conflict.kind, conflict.pid) == ("wal_split", elsewhere.process.pid)
            assert reading.detail["one_generation"] == "yes"
            assert rows(reading) == {"agents": 4}
        reading = read_exact(airlock)
        assert (rows(reading), has_conflicts(reading)) == ({"agents": 4}, False)


def test_a_hard_link_is_not_doubted_once_its_own_wal_was_seen(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    (tmp_path / "alias.db").hardlink_to(path)
    with open_airlock(path) as airlock:
        assert read_exact(airlock).detail == {"names": "2"}
        with LiveWriter(path) as writer:
            assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
            assert rows(read_exact(airlock)) == {"agents": 4}
            assert writer.do("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]
            assert writer.process.stdin is not None
            writer.process.stdin.close()
            assert writer.process.wait() == 0
        last = read_exact(airlock)
        assert rows(last) == {"agents": 4}
        assert not last.detail


def test_a_connection_with_an_empty_wal_is_not_elsewhere(tmp_path: Path) -> None:
    paths = [make_database(tmp_path / name / "a.db", agents=3) for name in ("plain", "exclusive")]
    with LiveWriter(paths[0]) as plain, LiveWriter(paths[1]) as exclusive:
        assert exclusive.do("PRAGMA locking_mode = EXCLUSIVE") == [["exclusive"]]
        for writer in (plain, exclusive):
            assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
            assert writer.do("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]
        with open_airlock(*paths) as airlock:
            assert rows(read_exact(airlock)) == {"agents": 4}
            assert rows(read_exact(airlock, "1")) == {"agents": 4}


def test_a_foreign_engine_is_recognized_by_its_locks(tmp_path: Path) -> None:
    """Turso locks the main file and the WAL as a whole; with several processes, it makes -tshm."""
    path = make_database(tmp_path / "a.db", agents=3)
    with LiveWriter(path) as writer:
        assert writer.do("INSERT INTO agents (text) VALUES ('x')") == []
    path.with_name("a.db-shm").unlink()
    with open_airlock(path) as airlock:
        assert not read(airlock).surroundings.is_foreign
        with locker(path, "posix"), locker(path.with_name("a.db-wal"), "posix"):
            reading = read_exact(airlock)
            assert reading.surroundings.is_foreign
            assert rows(reading) == {"agents": 4}
            checks = {check.code for check in _writers(Database("a", "A", path), reading)}
            assert checks == {"foreign_engine"}
        path.with_name("a.db-tshm").touch()  # Turso leaves it behind
        assert not read(airlock).surroundings.is_foreign
        with locker(path.with_name("a.db-tshm"), "ofd"):
            assert read(airlock).surroundings.is_foreign


def test_the_state_of_a_lock_survives_a_restart(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", wal=False, agents=3)
    with open_airlock(path) as airlock:
        before = read(airlock)
    with LiveWriter(path) as writer:
        assert writer.do("BEGIN IMMEDIATE") == []
        read_at = before.read_at
        good = LastGood(read_at, 3, 1)
        with open_airlock(path) as airlock:
            airlock.restore({"0": DatabaseState("connected", None, read_at, good, baseline=before)})
            kept = read(airlock)
            assert is_kept(kept)
            assert (rows(kept), kept.verified_at) == ({"agents": 3}, before.verified_at)
        with open_airlock(path) as airlock:
            airlock.restore({"0": DatabaseState("error", "locked", read_at, good, baseline=before)})
            locked = read(airlock)
            assert (locked.code, locked.is_undecided) == ("locked", False)


def test_every_view_explains_an_old_or_missing_reading(tmp_path: Path) -> None:
    paths = [make_database(tmp_path / f"{name}.db", wal=False, agents=3) for name in "ab"]
    config = write_config(tmp_path, [("a", paths[0]), ("b", paths[1])])
    with LiveWriter(paths[0]) as first, LiveWriter(paths[1]) as second:
        assert first.do("BEGIN EXCLUSIVE") == []
        soon = "from dash_app.airlock import airlock; airlock.NOTED_SECONDS = 1.0"
        with Served(config, patch=soon) as served:
            holder = f"(pid {first.process.pid})"
            undecided = served.database("a")
            assert (undecided["status"], undecided["level"]) == ("error", "unknown")
            assert undecided["error"]["code"] == "locked"
            assert holder in undecided["error"]["message"]
            assert holder in undecided["waitingFor"]["holder"]
            assert served.json("/api/db-status")["headline"] == "Can't tell"
            assert served.json("/api/incidents")["incidents"] == []
            assert second.do("BEGIN IMMEDIATE") == []
            kept = eventually(lambda: (now := served.database("b"))["waitingFor"] and now)
            assert kept["waitingFor"]["reason"] == "lock"
            assert (kept["status"], kept["rowCounts"]) == ("connected", {"agents": 3})
            reason = f"(pid {second.process.pid}) has locked it."
            eventually(lambda: reason in served.database("b")["verdict"])
            for path in ("/", "/glance", "/databases/b"):
                assert reason in served.get(path)[1]
            assert first.do("COMMIT") == second.do("COMMIT") == []
            eventually(lambda: served.json("/api/db-status")["headline"] == "Both well")
            eventually(lambda: served.database("b")["waitingFor"] is None)
