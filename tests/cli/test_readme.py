"""The first commands of the README, word for word, in an empty home with a database per agent."""

import re
import shlex
from pathlib import Path

from tests.cli.helpers import run
from tests.harness import ROOT, make_database

README = (ROOT / "README.md").read_text().split("## Your own databases")[1].split("\n## ")[0]
PRINTS = {"discover": "+ scout-openclaw-agent", "doctor": "Scout openclaw agent"}
"""What a newcomer must find in the output of each command, except the one that serves the page."""


def test_the_readme_leads_to_the_databases_of_a_home(tmp_path: Path) -> None:
    for agent in ("main", "scout"):
        folder = tmp_path / ".openclaw" / "agents" / agent / "agent"
        folder.mkdir(parents=True)
        make_database(folder / "openclaw-agent.sqlite", messages=3)
    lines = re.findall(r"^\./ops/run.*$", README, re.MULTILINE)
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    assert [words[:1] for words in commands] == [["discover"], [], ["doctor"]]
    for words in filter(None, commands):
        assert PRINTS[words[0]] in run(tmp_path, *words).stdout

    pattern, measure = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    config = tmp_path / ".config" / "mission-control" / "config.toml"
    config.write_text(pattern + measure)
    status = run(tmp_path, "status").stdout
    assert "Agent main" in status
    assert "Agent scout" in status
    assert "Coordination" in status
