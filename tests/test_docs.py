"""Documents and style sheet match the code: settings, commands, sentences, links and colours."""

import os
import re
import shlex
import tomllib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

import click
import pytest

from dash_app import VERSION, cli, settings
from dash_app.model.conflict import Conflict
from dash_app.model.event import Event
from dash_app.model.expectation import Expectation, ExpectationReport, ExpectationState
from dash_app.model.host_facts import Holder
from dash_app.model.incident import Incident
from dash_app.model.integrity import Damage, Integrity
from dash_app.model.measure import Measure, MeasureReport, Value
from dash_app.model.problem import Problem, ProblemCode
from dash_app.model.reading import Code, LastGood
from dash_app.rules.measures import measure_problems
from dash_app.rules.problems import damage_problems, limit_problems, problem_of
from dash_app.settings import Settings
from dash_app.words.errors import WordingContext, explain_error
from dash_app.words.incidents import incident_text
from dash_app.words.notifications import notification_body, notification_title, signature
from dash_app.words.problems import (
    BRIEFLY,
    REMEDIES,
    conflict_text,
    current_parts,
    log_held,
    plain,
    spoken,
)
from tests import factories
from tests.architecture import RANKS
from tests.harness import ROOT

COMMANDS = (ROOT / "ops" / "README.md").read_text()
CONFIGURATION = (ROOT / "dash_app" / "settings" / "README.md").read_text()
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

DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(
        path
        for name in (".github", "ops", "dash_app", "tests")
        for path in (ROOT / name).rglob("*.md")
    ),
]
PACKAGE = "sqlite-mission-control"
"""The command of the package, which is the same as ./ops/run."""

MAX_ENTRY_CHARACTERS = 250

MINUTE = timedelta(minutes=1)
HEX = re.compile(r"#[0-9a-fA-F]{3,8}\b")


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def setting_block(holding: str) -> str:
    return next(block for block in blocks("toml", CONFIGURATION) if holding in block)


def test_the_documented_configuration_is_the_default_one() -> None:
    written = settings.parse(tomllib.loads(setting_block("[server]")), settings.default_path())
    assert written.model_dump(exclude={"declared"}) == Settings(
        source=settings.default_path()
    ).model_dump(exclude={"declared"})
    assert written.databases == Settings().databases[:1]


def test_every_setting_is_documented() -> None:
    keys = {key for section in settings.SECTIONS.values() for key in section.model_fields}
    text = setting_block("[server]") + setting_block("expect = ")
    written = set(re.findall(r"^(\w+) = ", text, re.MULTILINE))
    assert written | {"tables", "measures"} == keys
    measures = tomllib.loads(setting_block("[[databases.measures]]"))["databases"][0]["measures"]
    written = {key for measure in measures for key in measure}
    assert written | {"equals"} == settings.NESTED["databases.measures"].model_fields.keys()


def test_the_documented_expectations_are_valid() -> None:
    written = tomllib.loads(setting_block("expect = "))
    (database,) = settings.parse(written, settings.default_path()).databases
    assert database.rules.for_table("messages").expect == Expectation(5 * MINUTE, 1.25 * MINUTE)
    tables = written["databases"][0]["tables"]["messages"]
    assert tables.keys() == settings.NESTED["databases.tables"].model_fields.keys()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documented_configurations_are_valid(document: Path) -> None:
    for block in blocks("toml", document.read_text()):
        settings.parse(tomllib.loads(block), settings.default_path())


def command(*names: str) -> click.Command:
    found: click.Command = cli.main
    for name in names:
        known = isinstance(found, click.Group) and found.get_command(click.Context(found), name)
        found = known or found
    return found


@pytest.mark.parametrize("name", cli.MODULES)
def test_every_command_is_documented_with_its_options(name: str) -> None:
    (row,) = re.findall(rf"^\| `\./ops/run \[?{name}.*$", COMMANDS, re.MULTILINE)
    group = command(name)
    parts = group.commands.values() if isinstance(group, click.Group) else [group]
    options = {option for part in parts for parameter in part.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z]+", row)) == {name for name in options if name.startswith("--")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documented_commands_exist_and_know_their_options(document: Path) -> None:
    text = re.sub(r" *#.*", "", "\n".join(blocks("sh", document.read_text())))
    text = text.replace(f"{PACKAGE} install", "./ops/install").replace(PACKAGE, "./ops/run")
    for line in re.findall(r"(?<!\S)\./ops/[^&|;\n>]+", text):
        script, *words = shlex.split(line)
        assert os.access(ROOT / script, os.X_OK), line
        if script == "./ops/run":
            names = list(takewhile(lambda word: not word.startswith("-"), words)) or ["serve"]
            found = command(*names)
            assert found is not cli.main, line
            found.make_parser(click.Context(found)).parse_args(words)  # raises NoSuchOption
        else:
            sources = (ROOT / script).read_text()
            for module in re.findall(r"-m (tests[\w.]*)", sources):
                sources += (ROOT / module.replace(".", "/") / "__main__.py").read_text()
            assert [word for word in words if word[:2] == "--" and word not in sources] == []


AT = datetime(2026, 11, 23, 14, 2, tzinfo=UTC)
NODE = "node (pid 812)"


def explained(code: Code) -> tuple[str, str]:
    context = WordingContext(Path("config.toml"), "ann", MINUTE)
    return explain_error(code, {"holder": NODE}, factories.database(), LastGood(AT, 1, 1), context)


def told(problem: Problem | None) -> tuple[str, str]:
    assert problem
    return spoken(current_parts(problem), AT + 120 * MINUTE), problem.remedy


def sentences() -> dict[ProblemCode, tuple[str, str]]:
    """Return what the product reports in the cases that the README lists, and its remedies."""
    silent = ExpectationReport(ExpectationState("late", Expectation(60 * MINUTE, MINUTE), AT, AT))
    lost = {"rows": {"events": 73_765}}, {"rows": {"events": 24_592}}
    pages = Integrity("damaged", damage=(Damage("messages", 12, AT),))
    reading = replace(factories.good_reading(AT, messages=1), wal_bytes=90_000_000)
    (late,) = limit_problems(factories.database(), reading, silent, (), {})
    (damaged,) = damage_problems("email", pages)
    open_tasks = Measure("open_tasks", "Open tasks", MINUTE, greatest=50)
    report = MeasureReport(open_tasks, (Value(None, 63),), AT)
    (excess,) = measure_problems("email", [report], AT, {})
    return {
        "late": told(late),
        "rows_dropped": told(problem_of(Event("email", "rows_dropped", AT, *lost))),
        "file_missing": explained("file_missing"),
        "wal_orphaned": conflict_text(
            Conflict("wal_orphaned", AT, 812, "python3", "agent.service")
        ),
        "measure_out_of_range": told(excess),
        "pages_damaged": told(damaged),
        "locked": explained("locked"),
        "log_held": (log_held(reading, Holder(812, "node", (), AT), AT), REMEDIES["log_held"]),
    }


def test_the_sentences_in_the_readme_are_those_of_the_product() -> None:
    text = (ROOT / "README.md").read_text().split("## What it tells you")[1].split("##")[0]
    rows = [line.strip("| ").split(" | ") for line in plain(text).splitlines() if line[:1] == "|"]
    shown = [[BRIEFLY[code][0], *map(plain, texts)] for code, texts in sentences().items()]
    assert rows[2:] == shown


def test_the_notification_in_the_documents_is_one_of_the_product() -> None:
    text, remedy = sentences()["rows_dropped"]
    incident = Incident(
        "", ("email",), "rows_dropped", "fault", incident_text(["Email"], [text]), remedy, AT
    )
    (block,) = blocks("text", COMMANDS)
    title, *body, _link, end = block.splitlines()
    assert title == notification_title("fault", incident)
    assert "\n".join(body) == notification_body("fault", incident, "", AT)
    assert end == signature("server", "5f2c1a90")


def test_changelog_and_code_have_one_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings: list[str] = re.findall("^## (.+)$", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    released = re.fullmatch(r"([0-9.]+) – \d{4}-\d\d-\d\d", headings[1])
    assert released, headings[1]
    assert released[1] == VERSION


def test_the_changelog_is_short_lines_under_known_headings() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings = set(re.findall("^### (.+)$", changelog, re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    entries = re.split("^- ", changelog, flags=re.MULTILINE)[1:]
    assert [entry for entry in entries if len(entry.split("\n\n")[0]) > MAX_ENTRY_CHARACTERS] == []
    starts = Counter(entry[:40] for entry in entries)
    assert [start for start, number in starts.items() if number > 1] == []


def anchors(document: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_in_documents_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    links = re.findall(r"\]\(([^):]+)\)", text)
    for link in [*links, *re.findall(r'(?:src|srcset)="([^"]+)"', text)]:
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
    packages = [*RANKS, "dash_app", "tests", "ops", "assets"]
    paths = re.findall(rf"`((?:{'|'.join(packages)})/[\w./-]+)`", text)
    roots = (ROOT, ROOT / "dash_app", document.parent)
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
