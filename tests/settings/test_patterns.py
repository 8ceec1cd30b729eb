"""Patterns: which files are watched, under which names, whatever comes, goes and returns."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from dash_app import settings
from dash_app.settings import Settings, SettingsError
from dash_app.settings.patterns import MAX_MATCHES, with_found

AGENTS = "/home/ann/agents/*/*.sqlite"


def configured(*entries: str, more: str = "") -> Settings:
    """Return settings with entries, each given as a name, a path and further lines."""
    text = more + "".join(f"\n[[databases]]\nname = {entry}\n" for entry in entries)
    return settings.parse(tomllib.loads(text), Path("/etc/mc/config.toml"))


def agents(label: str = "") -> Settings:
    more = f'\nlabel = "{label}"' if label else ""
    return configured(f'"agent"\npath = "{AGENTS}"{more}')


def files(*parts: str) -> list[Path]:
    return [Path(f"/home/ann/agents/{part}.sqlite") for part in parts]


def watched(found: Settings) -> dict[str, str]:
    """Return the paths of the watched databases by name, without their common start."""
    return {
        database.name: str(database.path).removeprefix("/home/ann/agents/").removesuffix(".sqlite")
        for database in found.databases
    }


def test_each_match_is_a_database_at_the_place_of_its_entry_in_order_of_path() -> None:
    entries = (
        '"first"\npath = "first.db"',
        f'"agent"\npath = "{AGENTS}"\nlabel = "Agent"\nmin_rows = 3\nintegrity = "off"',
        '"last"\npath = "last.db"',
    )
    before = configured(*entries)
    assert [database.name for database in before.databases] == ["first", "last"]
    found = with_found(before, {AGENTS: files("ops/memory", "main/memory")})
    names = ["first", "agent-main", "agent-ops", "last"]
    assert [database.name for database in found.databases] == names
    main = found.databases[1]
    assert (main.label, main.path) == ("Agent main", files("main/memory")[0])
    assert (main.rules.min_rows, main.is_page_checked) == (3, False)
    assert [(p.name, p.path, p.watched, p.unwatched) for p in found.patterns] == [
        ("agent", AGENTS, 2, 0)
    ]


def test_names_have_the_part_that_differs_and_a_number_if_they_would_be_equal() -> None:
    found = with_found(agents(), {AGENTS: files("Ann B/x", "ann b/x", "münchen/x")})
    assert watched(found) == {
        "agent-ann-b": "Ann B/x",
        "agent-ann-b-2": "ann b/x",
        "agent-munchen": "münchen/x",
    }
    assert found.databases[1].label == "Agent ann-b-2"
    assert all(
        len(name) <= 200
        for name in watched(with_found(agents(), {AGENTS: files("é" * 250 + "/x")}))
    )


def test_a_name_never_moves_to_another_file() -> None:
    first = with_found(agents(), {AGENTS: files("B/x", "b/x")})
    assert watched(first) == {"agent-b": "B/x", "agent-b-2": "b/x"}
    gone = with_found(first, {AGENTS: files("b/x")}, over={"agent-b"})
    assert watched(gone) == {"agent-b-2": "b/x"}
    assert gone.names == ("agent-b-2", "agent-b")
    twice = gone.with_matches((*gone.matches, replace(gone.matches[-1], path=files("a/x")[0])))
    assert set(watched(with_found(twice, {}))) == {"agent-b-2", "agent-b-3"}
    other = with_found(gone, {AGENTS: files("b/x", "b-/x")})
    assert watched(other) == {"agent-b-3": "b-/x", "agent-b-2": "b/x"}
    back = with_found(other, {AGENTS: files("B/x", "b/x", "b-/x")})
    assert watched(back) == {"agent-b": "B/x", "agent-b-3": "b-/x", "agent-b-2": "b/x"}


def test_a_missing_file_stays_until_it_needs_nobody() -> None:
    first = with_found(agents(), {AGENTS: files("a/x", "b/x")})
    for found in ({AGENTS: files("b/x")}, {}):  # the search of the second did not end
        assert with_found(first, found).matches == first.matches
    assert with_found(first, {}, over={"agent-a"}).matches == first.matches
    assert list(watched(with_found(first, {AGENTS: []}, over={"agent-a"}))) == ["agent-b"]


def test_a_file_belongs_to_the_entry_that_names_it_or_to_the_first_that_matches() -> None:
    entries = (
        '"all"\npath = "/home/ann/agents/*/*.sqlite"',
        '"main"\npath = "/home/ann/agents/main/*.sqlite"',
        '"mine"\npath = "/home/ann/agents/main/../ops/x.sqlite"',
    )
    found = {
        "/home/ann/agents/*/*.sqlite": files("main/x", "ops/x", "main/y"),
        "/home/ann/agents/main/*.sqlite": files("main/x", "main/y"),
    }
    both = with_found(configured(*entries), found)
    assert watched(both) == {
        "all-main-x": "main/x",
        "all-main-y": "main/y",
        "mine": "main/../ops/x",
    }
    above = "/home/ann/agents/ops/../*/*.sqlite"
    found[above] = [Path(f"/home/ann/agents/ops/../{part}.sqlite") for part in ("main/x", "w/x")]
    by_other_folder = configured(
        '"main"\npath = "/home/ann/agents/main/x.sqlite"', f'"a"\npath = "{above}"'
    )
    assert list(watched(with_found(by_other_folder, found))) == ["main", "a-w"]
    without = with_found(configured(entries[1]).with_matches(both.matches), found)
    assert watched(without) == {"main-x": "main/x", "main-y": "main/y"}
    alone = configured('"all-main-x"\npath = "/srv/other.db"', entries[0])
    renamed = with_found(alone.with_matches(both.matches), found)
    assert watched(renamed) == {
        "all-main-x": "/srv/other.db",
        "all-main-x-2": "main/x",
        "all-main-y": "main/y",
        "all-ops": "ops/x",
    }


def test_a_pattern_that_changed_leaves_out_what_it_no_longer_matches() -> None:
    first = with_found(agents(), {AGENTS: files("a/x", "b/x")})
    other = configured('"agent"\npath = "/home/ann/agents/b/*.sqlite"').with_matches(first.matches)
    assert list(watched(with_found(other, {"/home/ann/agents/b/*.sqlite": files("b/x")}))) == [
        "agent-b"
    ]


def test_beyond_the_maximum_the_first_watched_stay_and_the_others_are_counted() -> None:
    names = [f"{number:03}/x" for number in range(MAX_MATCHES + 5)]
    late = with_found(agents(), {AGENTS: files(*names[5:])})
    assert (len(late.databases), late.patterns[0].unwatched) == (MAX_MATCHES, 0)
    more = with_found(late, {AGENTS: files(*names)})
    assert more.databases == late.databases
    assert more.patterns[0].unwatched == 5


def test_our_history_is_never_watched() -> None:
    own = configured('"own"\npath = "state/*.db"', more='[history]\npath = "state/history.db"')
    found = with_found(
        own,
        {"/etc/mc/state/*.db": [Path("/etc/mc/state") / name for name in ("a.db", "history.db")]},
    )
    assert [str(database.path) for database in found.databases] == ["/etc/mc/state/a.db"]


def test_only_the_written_part_of_a_path_is_a_pattern() -> None:
    text = '[[databases]]\nname = "a"\npath = "{}"\n'
    folder = Path("/srv/[old]/config.toml")
    plain = settings.parse(tomllib.loads(text.format("[a]?.db")), folder)
    assert [database.path for database in plain.databases] == [Path("/srv/[old]/[a]?.db")]
    pattern = settings.parse(tomllib.loads(text.format("a?*.db")), folder)
    assert [one.path for one in pattern.patterns] == ["/srv/[[]old]/a?*.db"]
    assert pattern.databases == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('"a"\npath = "~/agents/**/x.db"', "`**` is not supported: write one `*` for each folder"),
        ('""\npath = "~/agents/*/x.db"', "use only a to z, 0 to 9, _ and -"),
        ('"Agent"\npath = "~/agents/*/x.db"', "use only a to z, 0 to 9, _ and -"),
        ('"a"\npath = "~nosuchuser/*.db"', "~nosuchuser is not a home folder here"),
        (
            '"a"\npath = "*.db"\nignore_tables = ["l*"]\n[databases.tables.load]\nmin_rows = 1',
            "[databases.tables.load] of database number 1 has rules, but `ignore_tables`",
        ),
        ('"a"\npath = "a\\u0000*.db"', "write a path in quotes"),
        ('"a"\npath = "*.db"\n[history]\npath = "h*.db"', "write the path of one file"),
    ],
)
def test_a_wrong_pattern_is_explained(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        configured(text)
    assert problem in str(raised.value)
