"""Entries are proposed for files that were found, and added to a configuration."""

import tomllib
from pathlib import Path

import pytest

from dash_app import settings
from dash_app.settings.proposals import Proposal, propose
from dash_app.settings.toml_edit import NotUnderstoodError, add_databases

AGENT = "OpenClaw agent"
ADDED = '[[databases]]\nname = "b"\npath = "b.db"\n'


def agent(state: str, name: str) -> Path:
    return Path(f"/{state}/agents/{name}/agent/openclaw-agent.sqlite")


def test_databases_of_one_program_become_a_pattern_per_place() -> None:
    files = {agent("h/.openclaw", "main"): AGENT, agent("h/.openclaw", "a"): AGENT}
    (proposal,) = propose(files, (), {})
    path = "/h/.openclaw/agents/*/agent/openclaw-agent.sqlite"
    assert proposal == Proposal("openclaw-agent", AGENT, path, AGENT)
    two = propose({**files, agent("srv/[x]", "main"): AGENT}, (), {})
    assert [(one.name, one.path) for one in two] == [
        ("openclaw-openclaw-agent", path),
        ("x-openclaw-agent", "/srv/[[]x]/agents/*/agent/openclaw-agent.sqlite"),
    ]


def test_a_taken_name_gets_a_number_that_the_label_shows() -> None:
    (proposal,) = propose({Path("/h/Über mail.db"): None}, {"uber-mail"}, {})
    assert (proposal.name, proposal.label) == ("uber-mail-2", "Über mail 2")


def test_a_later_database_is_named_after_its_difference_from_the_watched_ones() -> None:
    watched = [Path(f"/h/agents/{name}/agent.db") for name in ("main", "ops")]
    (proposal,) = propose({Path("/h/agents/writer/agent.db"): None}, {"agent"}, {}, watched)
    assert (proposal.name, proposal.label) == ("writer-agent", "Writer agent")


@pytest.mark.parametrize("path", ["/h/[a]*?.db", '/h/it\'s "x"\n\t\\.db', "/h/\u202ex.db"])
def test_any_path_in_utf_8_survives_the_configuration(path: str) -> None:
    (proposal,) = propose({Path(path): None}, (), {})
    loaded = settings.parse(tomllib.loads(proposal.toml), Path("/h/config.toml"))
    (entry,) = loaded.declared
    assert (entry.pattern, str(entry.path)) == (None, path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ADDED),
        ("[server]\nport = 1\n", f"[server]\nport = 1\n\n{ADDED}"),
        ("[server]\nport = 1", f"[server]\nport = 1\n\n{ADDED}"),
        (
            '# x\r\n[[databases]]\r\nname = "a"\r\n\r\n# z\r\n[server]\r\n',
            '# x\r\n[[databases]]\r\nname = "a"\r\n\r\n{}\r\n# z\r\n[server]\r\n'.format(
                ADDED.replace("\n", "\r\n")
            ),
        ),
        ('[[databases]]\nname = "a"', f'[[databases]]\nname = "a"\n\n{ADDED}'),
    ],
)
def test_databases_are_added_after_those_of_the_file(before: str, after: str) -> None:
    assert add_databases(before, ADDED) == after


@pytest.mark.parametrize(
    "text", ["databases = []\n", '[[databases]]\nname = "a"\n[server]\n[[databases]]\nname = "c"\n']
)
def test_a_file_that_would_change_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        add_databases(text, ADDED)
