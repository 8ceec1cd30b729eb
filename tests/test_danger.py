"""A program that destroys a database is named by every face while it does, and kept afterwards."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness import ROOT, LiveWriter, Served, eventually, make_database, write_config

ADD = "INSERT INTO tasks (text) VALUES ('one more')"
SAID = "uses a WAL that other programs do not see"


def command(config: Path, *arguments: str) -> str:
    program = [sys.executable, "-m", "dash_app", *arguments, "--config", str(config)]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def incidents(served: Served) -> list[Any]:
    return list(served.json("/api/incidents")["incidents"])


def test_every_face_names_the_program_until_it_ends(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", tasks=3)
    config = write_config(tmp_path, [("email", path)])
    with Served(config) as served, LiveWriter(path) as writer, LiveWriter(path) as second:
        assert writer.do(ADD) == []
        eventually(lambda: served.database("email")["totalRows"] == 4)
        for side in ("-wal", "-shm"):
            path.with_name(path.name + side).unlink()
        eventually(lambda: served.database("email")["level"] == "fault")
        assert second.do(ADD) == writer.do(ADD) == []
        named = f"(pid {writer.process.pid}"  # and its unit, if it has one
        verdict, page = served.database("email")["verdict"], served.get("/")[1]
        status, doctor = command(config, "status"), command(config, "doctor")
        for text in (verdict, page, served.get("/glance")[1], status):
            assert SAID in text
            assert named in text
        assert named in doctor
        assert "IN DANGER" in status
        assert f"kill -STOP {writer.process.pid}" in doctor
        (finding,) = served.database("email")["findings"]
        assert (finding["kind"], finding["level"]) == ("wal_split", "fault")
        writer.kill()
        eventually(lambda: served.database("email")["findings"] == [])
        (ended,) = incidents(served)
        assert ended["endedAt"]
        assert named in ended["evidence"][0]
