"""Databases are found below folders and by patterns, in a process that may hang."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dash_app.airlock.finder import Finder
from dash_app.model.leftovers import leftover_reason
from tests.airlock_helpers import FileEvents, public_folder
from tests.harness import PATIENCE_SECONDS, make_database, thousand_descriptors
from tests.mounts import CAN_MOUNT, BadDisk


def find(*folders: Path, seconds: float = 5.0, **more: object) -> Finder:
    finder = Finder({"folders": list(map(str, folders)), **more}, seconds)
    finder.wait()
    return finder


def match(*patterns: str, seconds: float = 5.0) -> Finder:
    finder = Finder({"patterns": patterns}, seconds)
    finder.wait()
    return finder


def files(finder: Finder) -> set[str]:
    return set(map(str, finder.files))


def test_a_pattern_matches_files_without_leftovers_and_each_under_one_name(tmp_path: Path) -> None:
    make_database(tmp_path / "a" / "agent" / "m.sqlite", agents=1)
    other = tmp_path / "b" / "agent" / "m.sqlite"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"not a database")
    (other.parent / "a.sqlite").symlink_to(other)
    (other.parent / "m.bak.sqlite").touch()
    (other.parent / "folder.sqlite").mkdir()
    pattern, missing = f"{tmp_path}/*/agent/*.sqlite", f"{tmp_path}/[z]/*"
    finder = match(pattern, missing)
    assert finder.is_complete
    assert finder.matches == {
        pattern: [tmp_path / "a" / "agent" / "m.sqlite", other],
        missing: [],
    }
    many = [f"{tmp_path}/{number}/*" for number in range(200)]
    finder = match(*many)
    assert finder.is_complete
    assert finder.matches == {pattern: [] for pattern in many}


def test_a_search_works_beyond_a_thousand_descriptors(tmp_path: Path) -> None:
    path = make_database(tmp_path / "a.db", agents=1)
    with thousand_descriptors():
        assert match(f"{tmp_path}/*").matches == {f"{tmp_path}/*": [path]}


def test_names_with_any_bytes_are_found(tmp_path: Path) -> None:
    names = {"a b.db", 'it\'s "x".db', "Ж.db", os.fsdecode(b"\xff.db"), "[*].db", "a\nb.db"}
    for name in names:
        make_database(tmp_path / name, agents=1)
    paths = {str(tmp_path / name) for name in names}
    pattern, bytes_ = f"{tmp_path}/*", str(tmp_path / os.fsdecode(b"\xff.db"))
    finder = find(tmp_path)
    assert files(finder) == paths - {bytes_}  # which cannot be stored
    assert finder.skipped == {bytes_: "not_text"}
    assert set(map(str, match(pattern).matches[pattern])) == paths - {bytes_}


def test_only_what_may_be_a_database_is_opened_and_each_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "no extension", agents=1)
    os.link(path, tmp_path / "z.db")
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "cut.db").write_bytes(path.read_bytes()[:700])
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "device.db").symlink_to("/dev/zero")
    (tmp_path / "dangling.db").symlink_to("nowhere")
    (tmp_path / "circular.db").symlink_to("circular.db")
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the path of a socket has at most 107 bytes
        server.bind("socket.db")
        with FileEvents(tmp_path) as spy:
            finder = find(tmp_path)
            opened = {name for what, name in spy.take() if what == "opened"}
    assert files(finder) == {str(path), str(tmp_path / "cut.db")}
    assert opened == {"no extension", "cut.db"}
    assert finder.skipped == {str(tmp_path / "z.db"): "same_file"}


def test_watched_files_and_deeper_folders_are_left_out(tmp_path: Path) -> None:
    watched = make_database(tmp_path / "a.db", agents=1)
    beside = make_database(tmp_path / "b.db", agents=1)
    make_database(tmp_path / "folder" / "c.db", agents=1)
    (tmp_path / "link.db").symlink_to(watched)
    copy = make_database(tmp_path / "copies" / "a.db.bak", agents=1)
    finder = find(tmp_path, copy, watched=[str(tmp_path / "link.db"), "/nowhere"], depth=0)
    assert files(finder) == {str(beside), str(copy)}  # a copy that is named
    assert finder.skipped == {
        **dict.fromkeys((str(watched), str(tmp_path / "link.db")), "watched"),
        **dict.fromkeys((str(copy.parent), str(tmp_path / "folder")), "too_deep"),
    }


FIND_AND_PRINT = """
import json, sys
from dash_app.airlock.finder import Finder
finder = Finder({"folders": sys.argv[1:]}, 3.0)
finder.wait()
print(json.dumps([finder.is_complete, [*map(str, finder.files)], finder.skipped]))
"""


@pytest.mark.skipif(not CAN_MOUNT, reason="mounting takes root")
def test_a_folder_that_hangs_is_searched_only_if_it_is_named_and_last(tmp_path: Path) -> None:
    path = make_database(tmp_path / "x" / "a.db", agents=1)
    nas = tmp_path / "my nas"
    with BadDisk(nas / "b.db", "hangs"):
        (tmp_path / "link").symlink_to(nas)
        watched = [str(tmp_path / "link" / "b.db")]
        started = time.monotonic()
        around = find(tmp_path, seconds=PATIENCE_SECONDS, watched=watched)
        named = subprocess.run(
            [sys.executable, "-c", FIND_AND_PRINT, tmp_path / "link", tmp_path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # for which nothing waits that is stuck
            check=True,
        )
        matching = match(f"{nas}/*", f"{tmp_path}/x/*", seconds=3.0)
        assert time.monotonic() - started < PATIENCE_SECONDS / 2
    assert around.is_complete
    assert around.skipped == dict.fromkeys((str(nas), str(tmp_path / "link")), "remote")
    skipped = {str(nas): "remote", str(tmp_path / "link"): "not_reached"}
    assert json.loads(named.stdout) == [False, [str(path)], skipped]
    assert files(around) == {str(path)}
    assert not matching.is_complete
    assert matching.matches == {f"{tmp_path}/x/*": [path]}


AS_NOBODY = """
import os
from dash_app.reader.{} import main
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
main()
"""


def answers_to_nobody(module: str, request: dict[str, object]) -> list[dict[str, object]]:
    """Return what a search answers that may not read everything, as root may."""
    found = subprocess.run(
        [sys.executable, "-c", AS_NOBODY.format(module), str(os.getpid())],
        input=json.dumps(request) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return list(map(json.loads, found.stdout.splitlines()))


def test_what_may_not_be_read_is_named() -> None:
    with public_folder() as folder:
        (folder / "closed").mkdir(mode=0)
        make_database(folder / "closed.db", agents=1).chmod(0)
        (folder / "other").write_bytes(bytes(512))
        (folder / "other").chmod(0)
        *answers, end = answers_to_nobody("find", {"folders": [str(folder)]})
        patterns = [f"{folder}/closed/*.db", f"{folder}/cl*/*.db", f"{folder}/none/*.db"]
        *matched, _end = answers_to_nobody("match", {"patterns": patterns, "seconds": 5})
        (folder / "closed").chmod(0o700)
    assert {answer["skipped"]: answer["reason"] for answer in answers} == {
        str(folder / "closed"): "no_access",
        str(folder / "closed.db"): "unreadable",
    }
    assert end == {"ended": True, "complete": True}
    assert {answer["pattern"]: answer["matches"] for answer in matched} == {
        patterns[1]: [],  # one folder of many may be closed
        patterns[2]: [],
    }


def test_a_pattern_of_a_thousand_parts_is_not_answered(capfd: pytest.CaptureFixture[str]) -> None:
    assert match(f"/{'*/' * 1500}a.db").matches == {}
    assert capfd.readouterr().err == ""


def test_a_failed_search_is_over_and_not_complete(capfd: pytest.CaptureFixture[str]) -> None:
    finder = Finder({"folders": 1})
    finder.wait()
    assert not finder.is_complete
    assert "TypeError" in capfd.readouterr().err


LEFTOVERS = {
    "sidecar": ("a.db-wal", "a.db-shm", "a.db-journal"),
    "temporary": (
        *(".tmp-a.sqlite", "a.db.tmp", "tmp_a.db", "a.db~", "~a.db", "a.db.part", "a.db.new"),
        "a.sqlite.memory-reindex-315925c0-1a2b-4c5d-8e9f-001122334455",  # openclaw issue 134830
    ),
    "damaged": ("a.sqlite.corrupt.1764400000", "a.corrupted.db", "a-broken.db"),
    "backup": (
        "a.db.bak",
        "a.bak.db",
        "a.db.old",
        "a_backup.db",
        "backup-a.db",
        "a.db.bak2",
        "a.db.pre-upgrade",
        "a.db.save",
    ),
    "copy": (
        "a (1).db",
        "a - Copy.db",
        "a_copy.db",
        "Copy of a.db",
        "a copy 2.db",
        "a.db copy",
        "a (copy).db",
        "a (3rd copy).db",
    ),
    "dated": (
        "a-2026-11-28.db",
        "a_20261128.db",
        "20261128T0300-a.db",
        "a.db.1",
        "a-1764400000.db",
    ),
}
DATABASES = (
    *("a.db", "crm2.db", "copy.db", "backup.db", "old.db", "content.db", "temperature.db"),
    *(
        "events-2026-11.db",
        "state.db",
        "kuma.db",
        "home-assistant_v2.db",
        "a.b.c.sqlite3",
        "tasks 2.db",
    ),
    *(
        "backups.db",
        "holder.db",
        "agent-20.db",
        "copyright.db",
        "template.db",
        "new.db",
        "a-new.db",
        "reindex.db",
        "1234567890123456.db",
    ),
)


@pytest.mark.parametrize("reason", LEFTOVERS)
def test_leftovers_are_recognized_by_their_names(reason: str) -> None:
    assert {name: leftover_reason(f"/b.bak/{name}") for name in LEFTOVERS[reason]} == dict.fromkeys(
        LEFTOVERS[reason], reason
    )


def test_names_of_databases_are_not_taken_for_leftovers() -> None:
    assert [name for name in DATABASES if leftover_reason(f"/b.bak/{name}")] == []
