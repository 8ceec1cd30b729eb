"""Incidents on every face: JSON, commands and page, from their start to their end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import run
from tests.harness import LiveWriter, Served, eventually, make_database, write_config

NAMES = ("email", "health")


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """A folder with a folder for each database."""
    for name in NAMES:
        make_database(tmp_path / "agents" / name / "a.db", tasks=9)
    return tmp_path / "agents"


@pytest.fixture
def served(tmp_path: Path, agents: Path) -> Iterator[Served]:
    paths = [(name, agents / name / "a.db") for name in NAMES]
    with Served(write_config(tmp_path, paths)) as served:
        eventually(lambda: served.json("/api/db-status")["headline"] == "Both well")
        yield served


def incidents(served: Served, query: str = "") -> list[Any]:
    listed: list[Any] = served.json(f"/api/incidents{query}")["incidents"]
    return listed


def single(incidents: list[Any]) -> Any:
    """Return the only incident once all databases belong to it."""
    is_single = [sorted(incident["databases"]) for incident in incidents] == [sorted(NAMES)]
    return incidents[0] if is_single else None


def test_a_missing_folder_is_one_incident_on_every_face_until_it_is_back(
    served: Served, agents: Path, tmp_path: Path
) -> None:
    assert incidents(served) == []
    agents.rename(tmp_path / "away")
    # If it disappears during a tick, the next tick finds the rest.
    one = eventually(lambda: single(incidents(served, "?open=true")))
    assert one["key"] == f"folder:{agents}"
    assert (one["kind"], one["level"], one["endedAt"]) == ("gone", "fault", None)
    assert one["text"] == f"Email and Health: Their folder {agents} is gone."
    assert (one["acknowledged"], one["messages"]) == (None, [])
    config = tmp_path / "config.toml"
    done = run(tmp_path, "incidents", "--config", config, "--open")
    assert done.stdout.endswith(f" UTC  {one['text']}\n")
    done = run(tmp_path, "incidents", "--config", config, "--json")
    assert json.loads(done.stdout) == served.json("/api/incidents")
    (tmp_path / "away").rename(agents)
    (ended,) = eventually(lambda: incidents(served, "?open=false&database=health"))
    assert ended | {"endedAt": None} == one
    assert run(tmp_path, "incidents", "--config", config, "--open").stdout == "No incidents.\n"
    assert " Over after " in run(tmp_path, "incidents", "--config", config).stdout
    assert served.json("/api/incidents?limit=1")["next"] == str(one["id"])
    assert incidents(served, f"?before={one['id']}") == []
    for wrong in ("open=1", "before=0", "limit=501", "kind=gone"):
        assert served.get(f"/api/incidents?{wrong}")[0] == 400


def openers(served: Served) -> dict[int, Any]:
    return {one["pid"]: one for one in served.json("/api/databases/email")["openers"]}


def test_who_had_a_database_open_is_told_after_it_closed_and_after_a_restart(
    tmp_path: Path,
) -> None:
    path = make_database(tmp_path / "email.db", tasks=60)
    config = write_config(tmp_path, [("email", path)], history='every = "1s"')
    with Served(config) as served, LiveWriter(path) as stays:
        pid = stays.process.pid
        stays.do("SELECT count(*) FROM tasks")
        with LiveWriter(path) as leaves:
            leaves.do("SELECT count(*) FROM tasks")
            eventually(lambda: {pid, leaves.process.pid} <= openers(served).keys())
        stays.do("DELETE FROM tasks")
        (lost,) = eventually(lambda: incidents(served))
        eventually(lambda: len(served.json("/api/databases/email")["holders"]) == 1)
        served.stop()
        served.restart()
        eventually(lambda: openers(served)[pid]["until"] > lost["since"])
        gone, first = openers(served)[leaves.process.pid], openers(served)[pid]
        assert first["from"] <= gone["from"] <= gone["until"] <= first["until"]
        assert gone["command"].startswith("python")
        view = served.get("/databases/email")[1]
    assert f"Open then: {first['command']} (pid {pid}" in view
    earlier = view.index(">Earlier<")
    assert view.index(f"(pid {pid})") < earlier < view.index(f"(pid {leaves.process.pid})", earlier)
    assert "As seen every 1 s; shorter visits may be missed." in view
