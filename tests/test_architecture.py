"""Imports go one way, functions are short, and each process loads only what it needs."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dash_app import cli
from tests.architecture import RANKS, README, arrows, drawn, imported_packages, package_of
from tests.harness import ROOT

LATE_IMPORTS = {
    ("__init__.py", "dash_app.metrics.exposition"),
    ("serve.py", "dash_app.service.service"),
    ("status.py", "dash_app.cli.read_once"),
}
"""Imports inside functions, only to keep a heavy library out of a process."""

MAX_FUNCTION_LINES = 40
MAX_ARROWS = 90
"""Maximum number of pairs of packages of which one imports from the other."""


def sources() -> list[Path]:
    return sorted((ROOT / "dash_app").rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_import_only_from_the_layers_above(path: Path) -> None:
    package = package_of(path)
    targets = {name for name in imported_packages(path) if name != package}
    if package == "__init__":
        assert targets == set()
    elif package != "__main__":
        assert {name for name in targets if RANKS[name] >= RANKS[package]} == set()


def test_every_package_has_a_layer_and_few_arrows() -> None:
    assert {package_of(path) for path in sources()} == RANKS.keys() | {"__init__", "__main__"}
    assert len(arrows()) <= MAX_ARROWS


def test_the_readme_shows_the_packages_and_their_imports() -> None:
    assert README.read_text() == drawn(), "python -m tests.architecture draws it again"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_sentences_name_commands_as_the_user_starts_them() -> None:
    """They are spelled in one place, because an installed package has no ./ops/run."""
    spelled = set()
    for path in sources():
        nodes = list(ast.walk(ast.parse(path.read_text())))
        documentation = {node.value for node in nodes if isinstance(node, ast.Expr)}
        texts = [n.value for n in nodes if isinstance(n, ast.Constant) and n not in documentation]
        spelled |= {path.name for text in texts if re.search(r"\./ops/(run|install)", str(text))}
    assert spelled == {"commands.py"}, "use RUN and INSTALL of words/commands.py"


def test_imports_are_at_the_top() -> None:
    late = {
        (path.name, node.module)
        for path in sources()
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
    }
    assert late == LATE_IMPORTS


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda p: p.stem)
def test_no_test_module_imports_another(path: Path) -> None:
    """Shared code is in helper modules."""
    assert re.findall(r"\bfrom tests\.(?:\w+\.)*test_\w+ import", path.read_text()) == []


def loaded(module: str) -> set[str]:
    """Return the top-level modules that a new process loads when it imports a module."""
    code = f"import {module}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_child_needs_only_the_standard_library() -> None:
    of_python = loaded("sys")  # Debian's own Python brings a sitecustomize
    beyond = loaded("dash_app.reader.__main__") - set(sys.stdlib_module_names) - of_python
    assert {name for name in beyond if not name.startswith("_")} == {"dash_app"}


@pytest.mark.parametrize("command", sorted({"read_once", *cli.MODULES.values()}))
def test_commands_start_without_dash_and_pandas(command: str) -> None:
    heavy = {"dash", "pandas", "numpy", "flask", "werkzeug", "plotly", "waitress"}
    modules = loaded(f"dash_app.cli.{command}")
    assert "pydantic" in modules
    assert not modules & heavy


def test_the_service_does_not_load_the_libraries_that_send_notifications() -> None:
    assert not loaded("dash_app.service.service") & {"apprise", "requests", "yaml", "smtplib"}


def test_pyarrow_is_not_installed_because_pandas_would_load_it() -> None:
    assert importlib.util.find_spec("pyarrow") is None
