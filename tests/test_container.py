"""In a container: its files agree with the project, and what it hides is reported.

`./ops/test-host tests/host/test_container.py` carries out the steps of both files.
"""

import json
import logging
import os
import re
import subprocess
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from dash_app import settings
from dash_app.doctor import databases, network, rescue, service
from dash_app.history.writer import History
from dash_app.model.conflict import Conflict
from dash_app.model.host_facts import Surroundings
from dash_app.model.problem import Problem
from dash_app.sampler import Sampler
from dash_app.words.errors import MOUNT_FOLDER, WordingContext
from dash_app.words.problems import MOUNTED_ALONE
from dash_app.words.rescue import OUTSIDE
from tests.factories import database, good_reading
from tests.harness import ROOT, LiveWriter, eventually, make_database, write_config
from tests.mounts import CAN_MOUNT

CONTAINERFILE = (ROOT / "ops" / "Containerfile").read_text().replace("\\\n", "")
STEPS = [line.split(maxsplit=1) for line in CONTAINERFILE.splitlines() if line[:1] > "#"]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "ops" / "compose.yml").read_text())
SERVICE: dict[str, Any] = COMPOSE["services"]["mission-control"]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in STEPS if name == instruction]


def test_the_image_is_made_of_our_files_by_our_commands() -> None:
    sources = [name for rest in arguments("COPY") for name in rest.split()[:-1] if name[0] != "-"]
    copied = {name for name in sources if not name.startswith("/")}
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    install = next(rest for rest in arguments("RUN") if "ops/run" in rest)
    assert "/home/mission-control ops/run alerts install " in install
    (entry,) = json.loads(arguments("ENTRYPOINT")[0])
    assert arguments("WORKDIR") == ["/app", "/app"]
    assert os.access(ROOT / Path(entry).relative_to("/app"), os.X_OK)
    assert (ROOT / "ops" / SERVICE["build"]["context"]).samefile(ROOT)
    assert (ROOT / SERVICE["build"]["dockerfile"]).read_text().replace("\\\n", "") == CONTAINERFILE


def test_the_container_has_no_rights_and_no_more_than_the_service() -> None:
    assert arguments("USER") == [SERVICE["user"]] == ["1000:1000"]
    assert SERVICE["read_only"]
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "ports", "devices"} & SERVICE.keys()
    unit = (ROOT / "ops" / "mission-control.service").read_text()
    limits = ("MemoryMax", "TasksMax", "OOMScoreAdjust")
    ours = [re.search(rf"^{name}=(.*)", unit, re.MULTILINE)[1] for name in limits]  # type: ignore[index]
    assert ours == ["512M", str(SERVICE["pids_limit"]), str(SERVICE["oom_score_adj"])]
    assert SERVICE["mem_limit"] == "512m"


def test_only_the_history_is_writable_and_folders_are_at_their_default_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (environment,) = arguments("ENV")
    home = dict(pair.split("=") for pair in environment.split())["HOME"]
    monkeypatch.setenv("HOME", home)
    own = settings.Settings()
    volume, *folders = SERVICE["volumes"]
    assert volume == f"history:{own.history.path.parent}"
    assert "history" in COMPOSE["volumes"]
    assert all(folder["read_only"] for folder in folders)
    assert not any(folder["bind"]["create_host_path"] for folder in folders)
    targets = [folder["target"] for folder in folders]
    assert targets == [str(settings.default_path().parent), str(own.databases[0].path.parent)]
    assert [folder["source"] for folder in folders] == [t.replace(home, "~") for t in targets]
    assert f"/tcp/127.0.0.1/{own.server.port}" in SERVICE["healthcheck"]["test"][-1]


@pytest.mark.skipif(not CAN_MOUNT, reason="mounting requires root")
def test_a_file_that_is_mounted_without_its_folder_is_a_problem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_database(tmp_path / "a.db", agents=3)
    inside = tmp_path / "inside.db"
    inside.touch()
    subprocess.run(["mount", "--bind", path, inside], check=True)
    watched = [("inside", inside), ("outside", path)]
    loaded = settings.load(write_config(tmp_path, watched))
    caplog.set_level(logging.INFO)
    try:
        with closing(History(loaded.history)) as history:
            sampler = Sampler(loaded, history)
            alone, outside = sampler.tick().databases
            assert f"Inside: {MOUNTED_ALONE}" in caplog.text
            assert [(p.code, p.level) for p in alone.problems] == [("mounted_alone", "notice")]
            assert outside.problems == ()
            with LiveWriter(path) as writer:
                writer.do("INSERT INTO agents (text) VALUES ('x')")
                problem, *_ = eventually(lambda: written_elsewhere(sampler))
                assert problem.text.endswith("only its file is mounted here.")
                assert problem.remedy == MOUNT_FOLDER
            sampler.finish()
        place = WordingContext(loaded.source, "ann", loaded.sampler.deadline)
        checks = [c for c in databases.examine(loaded, place) if c.code == "mounted_alone"]
        assert [check.text for check in checks] == [f"Inside: {MOUNTED_ALONE}"]
    finally:
        subprocess.run(["umount", inside], check=True)


def written_elsewhere(sampler: Sampler) -> tuple[Problem, ...]:
    """Tick; return the problems of the first database if its WAL is elsewhere."""
    found = sampler.tick().databases[0]
    return found.problems if found.reading.code == "wal_elsewhere" else ()


def test_doctor_names_what_a_container_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (databases, network, rescue, service):
        monkeypatch.setattr(module, "IS_CONTAINER", True)
    monkeypatch.setattr(service, "BOOTED", Path("/none"))
    (check,) = service.examine()
    assert (check.level, check.cure) == ("well", "")
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert "network_mode: host" in network._no_tailscale().cure
    assert "seccomp profile" in next(databases._reader(())).cure
    conflict = Conflict("wal_split", datetime.now(UTC), 812, "python3", None)
    danger = rescue.examine(database("email"), Surroundings(conflicts=(conflict,)), None, ())
    assert danger
    assert danger.cure == OUTSIDE
    hidden = Surroundings(conflicts_unknown="programs outside this container are not seen")
    readings = {"email": replace(good_reading(), surroundings=hidden)}
    for sees_all, cure in ((True, ""), (False, "Start the container with `pid: host`.")):
        monkeypatch.setattr(databases, "sees_all_processes", lambda sees_all=sees_all: sees_all)
        assert [c.cure for c in databases.conflicts_unknown([database("email")], readings)] == [
            cure
        ]
