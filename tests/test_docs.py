"""README and style sheet match the code: settings, commands, routes and colours."""

import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from dash_app import VERSION, cli, settings
from dash_app.model.expectation import Expectation
from dash_app.settings import Settings
from tests.architecture import RANKS
from tests.harness import ROOT

README = (ROOT / "README.md").read_text()
STYLE = (ROOT / "assets" / "page.css").read_text()

TOKENS = {
    "page": ("#09090b", "#f4f4f5"),
    "card": ("#18181b", "#ffffff"),
    "raised": ("#27272a", "#f4f4f5"),
    "line": ("#27272a", "#e4e4e7"),
    "edge": ("#71717a", "#71717a"),
    "text": ("#fafafa", "#18181b"),
    "muted": ("#a1a1aa", "#52525b"),
    "accent": ("#60a5fa", "#1d4ed8"),
    "on-accent": ("#09090b", "#ffffff"),
    "ok": ("#4ade80", "#166534"),
    "ok-fill": ("#052e16", "#dcfce7"),
    "warn": ("#facc15", "#854d0e"),
    "warn-fill": ("#422006", "#fef9c3"),
    "bad": ("#f87171", "#b91c1c"),
    "bad-fill": ("#450a0a", "#fee2e2"),
    "idle": ("#d4d4d8", "#3f3f46"),
    "idle-fill": ("#27272a", "#e4e4e7"),
}
"""Each colour in the dark and in the light scheme."""

DEVELOPERS = [
    *(ROOT / ".github").glob("*.md"),
    ROOT / "dash_app" / "README.md",
    ROOT / "tests" / "README.md",
]
MAX_ENTRY_CHARACTERS = 250

MINUTE = timedelta(minutes=1)
HEX = re.compile(r"#[0-9a-fA-F]{3,8}\b")


def readme_block(language: str, holding: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(block for block in blocks if holding in block)


def test_the_configuration_in_the_readme_is_the_default_one() -> None:
    written = settings.parse(
        tomllib.loads(readme_block("toml", "[server]")), settings.default_path()
    )
    assert written.model_dump(exclude={"declared"}) == Settings(
        source=settings.default_path()
    ).model_dump(exclude={"declared"})
    assert written.databases == Settings().databases[:1]


def test_the_readme_names_every_setting() -> None:
    keys = {key for section in settings.SECTIONS.values() for key in section.model_fields}
    blocks = readme_block("toml", "[server]") + readme_block("toml", "expect = ")
    written = set(re.findall(r"^(\w+) = ", blocks, re.MULTILINE))
    assert written | {"tables"} == keys


def test_the_expectations_in_the_readme_are_valid() -> None:
    written = tomllib.loads(readme_block("toml", "expect = "))
    (database,) = settings.parse(written, settings.default_path()).databases
    assert database.rules.for_table("messages").expect == Expectation(5 * MINUTE, 1.25 * MINUTE)
    tables = written["databases"][0]["tables"]["messages"]
    assert tables.keys() == settings.NESTED["databases.tables"].model_fields.keys()


def test_the_readme_names_every_command() -> None:
    for name in cli.MODULES:
        assert re.search(rf"\| `\./ops/run \[?{name}", README), name


def test_package_changelog_and_code_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings: list[str] = re.findall("^## (.+)$", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    released = re.fullmatch(r"([0-9.]+) – \d{4}-\d\d-\d\d", headings[1])
    assert released, headings[1]
    assert released[1] == project["version"] == VERSION


def test_the_changelog_is_short_lines_under_known_headings() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings = set(re.findall("^### (.+)$", changelog, re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    entries = re.split("^- ", changelog, flags=re.MULTILINE)[1:]
    assert [entry for entry in entries if len(entry.split("\n\n")[0]) > MAX_ENTRY_CHARACTERS] == []


@pytest.mark.parametrize("document", DEVELOPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_the_developers_documents_exist(document: Path) -> None:
    text = document.read_text()
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    packages = [*RANKS, "dash_app", "tests", "ops", "assets"]
    paths = re.findall(rf"`((?:{'|'.join(packages)})/[\w./-]+)`", text)
    roots = (ROOT, ROOT / "dash_app", document.parent)
    assert [link for link in links if not (document.parent / link).exists()] == []
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []


@pytest.mark.parametrize(("scheme", "column"), [("dark", 0), ("light", 1)])
def test_the_style_sheet_defines_exactly_the_tokens(scheme: str, column: int) -> None:
    block = STYLE.split(f'[data-bs-theme="{scheme}"] {{')[1].split("}")[0]
    tokens = dict(re.findall(r"--([\w-]+): (#\w+);", block))
    assert tokens == {name: values[column] for name, values in TOKENS.items()}


def test_no_other_colour_is_used() -> None:
    known = {value for values in TOKENS.values() for value in values}
    rest = STYLE.split("[data-bs-theme] {")[1]
    assert HEX.findall(rest) == []
    assets = ROOT / "assets"
    sources = [
        *(ROOT / "dash_app").rglob("*.py"),
        *assets.glob("*.js"),
        *(assets / "icons").glob("*.svg"),
    ]
    for source in sources:
        assert set(HEX.findall(source.read_text())) - known == set(), source


def test_nothing_is_fetched_from_other_servers() -> None:
    sources = [*(ROOT / "dash_app").rglob("*.py"), *(ROOT / "assets").rglob("*.*")]
    addresses = {
        address
        for source in sources
        if source.suffix in {".py", ".js", ".css"} and source.parent.name != "vendor"
        for address in re.findall(r"https?://[\w.{]+", Path(source).read_text())
    }
    # A printed link, a namespace, and an example of an origin.
    assert addresses == {"http://{host", "http://www.w3.org", "https://box.example.ts.net"}
