"""The snippets for other tools, and the skill for agents, fit what the service answers."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from shlex import quote
from typing import Any, get_args

import pytest
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dash_app.model.problem import DANGERS, Level
from tests.harness import ROOT, Served, eventually, make_database, write_config
from tests.measuring import ANY_SHARE, ASKED_AT_EACH_CHANGE

SNIPPETS = (ROOT / "ops" / "integrations" / "README.md").read_text()
SKILL = (ROOT / "ops" / "skill" / "SKILL.md").read_text()
HOME_ASSISTANT, HOMEPAGE, HOMEPAGE_LIST, GLANCE = (
    yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", SNIPPETS, re.DOTALL)
)
ADDRESS = "http://127.0.0.1:3001"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("integrations")
    path = make_database(folder / "email.db", messages=3)
    config = write_config(folder, [("email", path)], measures=ANY_SHARE)
    with config.open("a") as file:
        file.write(
            '\n[[databases.measures]]\nname = "unread"\nsql = "SELECT count(*) + 4 FROM messages"\n'
        )
    with Served(config, patch=ASKED_AT_EACH_CHANGE) as served:
        eventually(lambda: served.json("/api/measures")["measures"][0]["measuredAt"])
        yield served


@pytest.fixture(scope="module")
def status(served: Served) -> Any:
    return served.json("/api/db-status")


def test_home_assistant_reads_level_headline_and_rows(status: Any) -> None:
    """Its templates are Jinja2 in a sandbox, over `value_json`."""
    (rest,) = HOME_ASSISTANT["rest"]
    environment = ImmutableSandboxedEnvironment()

    def values(document: Any) -> list[str]:
        sensors = [*rest["binary_sensor"], *rest["sensor"]]
        templates = [sensor["value_template"] for sensor in sensors]
        templates += [sensor["availability"] for sensor in sensors if "availability" in sensor]
        return [environment.from_string(t).render(value_json=document) for t in templates]

    assert values(status) == ["False", status["headline"], "3", "7", "True"]
    database = {**status["databases"][0], "totalRows": None}
    worse = {**status, "level": "fault", "databases": [database]}
    assert values(worse) == ["True", status["headline"], "None", "7", "False"]
    assert set(rest["sensor"][0]["json_attributes"]) <= status.keys()


def test_the_fields_of_homepage_glance_and_uptime_kuma_exist(status: Any) -> None:
    (database,) = status["databases"]
    widget = HOMEPAGE[0]["Server"][0]["Databases"]["widget"]
    assert {mapping["field"] for mapping in widget["mappings"]} <= status.keys()
    rows = HOMEPAGE_LIST["mappings"]
    assert status[rows["items"]] == [database]
    assert {rows["label"], rows["name"]} <= database.keys()
    template = GLANCE[0]["template"]
    assert set(re.findall(r'JSON\.\w+ "(\w+)', template)) <= status.keys()
    assert set(re.findall(r' \.String "(\w+)', template)) <= database.keys()
    (query,) = re.findall(r"`level in (\[.*?\]) \? headline", SNIPPETS)
    assert set(json.loads(query)) == {"fault", "unknown"} < set(get_args(Level))
    queries = re.findall(r"databases\[(\w+)=[^]]*\]\.(?:measures\[(\w+)=.*?\]\.)?(\w+)`", SNIPPETS)
    assert queries == [("name", "", "level"), ("name", "name", "value")]
    (measure,) = database["measures"]
    names = re.findall(r"`(?:items|name|label): (\w+)`", SNIPPETS)
    assert [measure.get(name) for name in names] == [None, "Unread", 7]


def test_each_url_answers(served: Served) -> None:
    for url in set(re.findall(rf"{ADDRESS}([\w/{{}}-]*)", SNIPPETS)):
        assert served.get(url.format(name="email"))[0] == 200


def test_the_commands_of_the_skill_work(served: Served) -> None:
    text = "\n".join(re.findall(r"```sh\n(.*?)```", SKILL, re.DOTALL))
    for ours, theirs in (
        (ADDRESS, served.url),
        ("./ops/run", f"{quote(sys.executable)} -m dash_app"),
    ):
        text = text.replace(ours, theirs)
    config = {"MISSION_CONTROL_CONFIG": str(served._config), "PYTHONPATH": str(ROOT)}
    for line in filter(None, text.splitlines()):
        done = subprocess.run(
            ["bash", "-c", line], env=os.environ | config, stdout=subprocess.PIPE, check=True
        )
        if "json" in line or "/api/" in line:
            assert json.loads(done.stdout)


def test_the_skill_has_the_front_matter_of_skills_and_knows_every_danger() -> None:
    _, front, text = SKILL.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields.keys() == {"name", "description"}
    assert re.fullmatch(r"[a-z0-9-]{1,64}", fields["name"])
    assert len(fields["description"]) <= 1024
    assert (
        set(re.findall(r"`([a-z]+_[a-z]+)`", text.split("## In danger")[1].split("1. ")[0]))
        == DANGERS
    )
    assert set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE)) == set(get_args(Level))
