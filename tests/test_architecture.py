"""The house keeps its shape: imports run one way, parts stay small, the top level stays bare."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dash_app import cli
from tests.harness import ROOT

LAYERS = (
    {"model"},
    {"system"},
    {"settings"},
    {"words"},
    {"reader"},
    {"airlock"},
    {"history"},
    {"rules"},
    {"incidents"},
    {"alerts"},
    {"sampler"},
    {"loader"},
    {"page", "api", "metrics"},
    {"web"},
    {"service"},
    {"doctor"},
    {"demo"},
    {"cli"},
    {"__main__"},
)
"""What may import only from the layers before its own, and from its own part."""

RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
TOP_LEVEL = {"dash_app", "assets", "ops", "tests", "requirements.txt", "README.md"} | {
    "pyproject.toml",
    "LICENSE",
    "CHANGELOG.md",
}
LATE_IMPORTS = {
    ("__init__.py", "dash_app.metrics.exposition"),
    ("serve.py", "dash_app.service.service"),
    ("status.py", "dash_app.cli.read_once"),
}
"""Imports inside functions: only to keep a heavy library out of a process without need of it."""

MAX_LINES_OF_A_FUNCTION = 40


def sources() -> list[Path]:
    return sorted((ROOT / "dash_app").rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "dash_app").parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """The parts of dash_app that a file imports, for types or for running."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "dash_app":
            yield from (alias.name for alias in node.names if alias.name != "VERSION")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dash_app."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("dash_app."))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        assert not list(imports(path))
        return
    backward = [name for name in imports(path) if name != part and RANK[name] >= RANK[part]]
    assert backward == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_imports_stand_at_the_top() -> None:
    late = {
        (path.name, node.module)
        for path in sources()
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
    }
    assert late == LATE_IMPORTS


def test_the_top_level_holds_nothing_else() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    names = {name.split("/")[0] for name in tracked}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def loaded(module: str) -> set[str]:
    """The top-level modules that importing one brings into a process of its own."""
    code = f"import {module}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_child_needs_the_standard_library_alone() -> None:
    of_python = loaded("sys")  # Debian's own Python brings a sitecustomize
    beyond = loaded("dash_app.reader.__main__") - set(sys.stdlib_module_names) - of_python
    assert {name for name in beyond if not name.startswith("_")} == {"dash_app"}


@pytest.mark.parametrize("command", sorted({"read_once", *cli.MODULES.values()}))
def test_commands_start_without_dash_and_pandas(command: str) -> None:
    heavy = {"dash", "pandas", "numpy", "flask", "werkzeug", "plotly", "waitress"}
    found = loaded(f"dash_app.cli.{command}")
    assert "pydantic" in found
    assert not found & heavy


def test_the_service_loads_nothing_that_sends_messages() -> None:
    assert not loaded("dash_app.service.service") & {"apprise", "requests", "yaml", "smtplib"}


def test_no_arrow_library_is_installed_to_double_the_memory_of_pandas() -> None:
    assert importlib.util.find_spec("pyarrow") is None
