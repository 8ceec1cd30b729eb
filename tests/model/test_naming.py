"""Names and labels come from the parts of paths that differ."""

from pathlib import Path

import pytest

from dash_app.model.naming import (
    is_of_a_period,
    label,
    slug,
    titles,
    unique_name,
    wildcard_parts,
)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/home/ann/crm.db"], ["crm"]),
        (["/home/ann/shop/db.sqlite3"], ["shop"]),
        (["/srv/shop/data/db.sqlite3", "/srv/blog/db.sqlite3"], ["shop", "blog"]),
        (["/a/bots/x/memory.db", "/a/bots/y/memory.db"], ["x memory", "y memory"]),
        (["/a/main/agent/m.db", "/a/ops/agent/m.db"], ["main m", "ops m"]),
        (["/a/x/web/t.db", "/a/y/web/t.db", "/a/z/t.db"], ["x web t", "y web t", "z t"]),
        (["/home/ann/m.db", "/home/ann/x/m.db"], ["m", "x m"]),
        (["/home/ann/CRM.db", "/home/ann/old/crm.db"], ["CRM", "old crm"]),
        (["/srv/shop/data/crm.db", "/srv/blog/crm.db"], ["shop crm", "blog crm"]),
        (["/srv/prod/crm.db", "/srv/dev/crm.db"], ["prod crm", "dev crm"]),
        (["/data/db.sqlite3"], ["db"]),
        (["/s/shop/db.sqlite3", "/s/shop/data.db"], ["shop", "shop"]),
    ],
)
def test_a_title_is_that_of_the_file_with_the_folders_that_differ(
    paths: list[str], expected: list[str]
) -> None:
    assert titles({Path(path): None for path in paths}) == expected


AGENTS = "/h/.openclaw/agents/*/agent/*.sqlite"


@pytest.mark.parametrize(
    ("pattern", "paths", "expected"),
    [
        (AGENTS, ["/h/.openclaw/agents/main/agent/a.sqlite"], ["main"]),
        (
            AGENTS,
            [
                "/h/.openclaw/agents/a/agent/x.sqlite",
                "/h/.openclaw/agents/a/agent/y.sqlite",
                "/h/.openclaw/agents/w/agent/x.sqlite",
            ],
            ["a x", "a y", "w"],
        ),
        ("/d/crm-*.db", ["/d/crm-eu.db", "/d/crm-.db"], ["eu", "crm-.db"]),
        ("/d/[ab]?.db", ["/d/a1.db", "/d/b1.db"], ["a1", "b1"]),
        ("/d/[*]x*[[].db", ["/d/*xy[.db"], ["*xy["]),
        ("/d/*", ["/d/a b.db"], ["a b.db"]),
        ("/[[]d]/*/*.db", ["/[d]/a/x.db", "/[d]/b/x.db"], ["a", "b"]),
        ("/d/*", [], []),
    ],
)
def test_the_part_of_a_match_is_the_text_of_its_wildcards(
    pattern: str, paths: list[str], expected: list[str]
) -> None:
    assert wildcard_parts(Path(pattern), [Path(path) for path in paths]) == expected


@pytest.mark.parametrize(
    ("text", "name", "text_label"),
    [
        ("main sessions", "main-sessions", "Main sessions"),
        ("home-assistant_v2", "home-assistant_v2", "Home assistant v2"),
        ("CRM 'north' \"a\".b", "crm-north-a-b", "CRM 'north' \"a\" b"),
        ("Zürich", "zurich", "Zürich"),
        ("Задачи", "database", "Задачи"),
        ("a\udcffb", "ab", "A?b"),
        ("--", "database", ""),
        ("x" * 300, "x" * 180, "X" + "x" * 299),
    ],
)
def test_a_text_becomes_a_name_and_a_label(text: str, name: str, text_label: str) -> None:
    assert (slug(text), label(text)) == (name, text_label)


def test_a_taken_name_gets_a_number() -> None:
    assert unique_name("a", {"b"}) == "a"
    assert unique_name("a", {"a", "a-2"}) == "a-3"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        *((name, True) for name in ("logs_2026", "logs_202611", "p20261129", "logs_2026_11_29")),
        *((name, True) for name in ("hits-2026-W48", "2026q4_orders")),
        *((name, False) for name in ("logs", "oauth2_tokens", "load_1000", "sha256", "t_19990101")),
        *((name, False) for name in ("ids_120261", "events_1764400000")),
    ],
)
def test_the_table_of_a_period_is_recognized(table: str, *, expected: bool) -> None:
    assert is_of_a_period(table) is expected
