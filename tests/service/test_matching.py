"""A running service with a pattern: files come, go, are acknowledged and come back."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.harness import (
    LiveWriter,
    Poller,
    Served,
    eventually,
    make_database,
    write_config,
)
from tests.page.helpers import tick_request

SOON = (
    "from dash_app.service import matching, service;"
    " matching.SEARCH_EVERY_SECONDS = service.LOOP_SECONDS = 0.1;"
    " service.ANSWER_SECONDS = 60.0"  # of a busy machine
)


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """Return the folder of a pattern, which one file matches, beside a configuration with it."""
    folder = tmp_path / "agents"
    (folder / "main").mkdir(parents=True)
    make_database(folder / "main/a.db", tasks=3)
    config = write_config(tmp_path, [("own", make_database(tmp_path / "own.db", rows=1))])
    entry = f'name = "agent"\nlabel = "Agent"\npath = "{folder}/*/*.db"\n'
    config.write_text(f"[[databases]]\n{entry}\n{config.read_text()}")
    return folder


def statuses(served: Served) -> dict[str, Any]:
    return {one["name"]: one for one in served.json("/api/db-status")["databases"]}


def callback(served: Served, action: dict[str, str] | None = None) -> Any:
    """Return what an open page receives at its tick, or for an action."""
    body = tick_request({})
    if action:
        body["changedPropIds"] = ["action.data"]
        body["inputs"][2]["value"] = action
    request = urllib.request.Request(
        f"{served.url}/_dash-update-component",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["response"]["snapshot"]


def acknowledge(served: Served, name: str) -> None:
    """Acknowledge all incidents of a database, as the button on its card does."""
    found = served.json(f"/api/incidents?open=true&database={name}")["incidents"]
    ids = " ".join(str(incident["id"]) for incident in found)
    until = served.json("/api/db-status")["takenAt"]
    callback(served, {"acknowledge": "1h", "incidents": ids, "database": "", "until": until})


def test_files_of_a_pattern_come_go_and_come_back(agents: Path) -> None:
    config, work = agents.with_name("config.toml"), agents / "work/a.db"
    with Served(config, patch=SOON) as served:
        assert list(statuses(served)) == ["agent-main", "own"]
        page = callback(served)
        work.parent.mkdir()
        with Poller(served) as poller, LiveWriter(work) as writer:
            writer.do("CREATE TABLE tasks (id INTEGER PRIMARY KEY)")
            writer.do("INSERT INTO tasks VALUES (1)")
            eventually(lambda: statuses(served).get("agent-work", {}).get("totalRows") == 1)
        assert set(poller.statuses) == {200}
        later = callback(served)  # of a page that was open all the time
        assert later["data"]["build"] == page["data"]["build"]
        assert "Agent work" not in str(page["facts"])
        assert "Agent work" in str(later["facts"])
        served.stop()
        shutil.rmtree(work.parent)
        (agents / "WORK").mkdir()
        make_database(agents / "WORK/a.db", tasks=1)
        served.restart()
        assert list(statuses(served)) == ["agent-work-2", "agent-main", "agent-work", "own"]
        assert [one["kind"] for one in statuses(served)["agent-work"]["findings"]] == ["gone"]
        eventually(lambda: served.json("/api/incidents?open=true")["incidents"])
        acknowledge(served, "agent-work")
        eventually(lambda: "agent-work" not in statuses(served))
        assert served.get("/databases/agent-work")[0] == 404
        assert served.json("/api/events?database=agent-work")["events"][0]["kind"] == "gone"
        work.parent.mkdir()
        make_database(work, tasks=2)
        eventually(lambda: "agent-work" in statuses(served))
        found = served.json("/api/events?database=agent-work")["events"]
        assert "back" in [event["kind"] for event in found]
        assert served.json("/api/db-status")["patterns"] == [
            {"name": "agent", "path": f"{agents}/*/*.db", "watched": 3, "unwatched": 0}
        ]
