"""The imports between the packages of dash_app, and the picture of them in dash_app/README.md.

`python -m tests.architecture` draws the picture again.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from dash_app import LAYERS
from tests.harness import ROOT

SOURCES = ROOT / "dash_app"
README = SOURCES / "README.md"
START, END = "<!-- picture -->\n", "<!-- end of picture -->\n"

PURPOSES = {name: purpose for layer in LAYERS for name, purpose in layer.items()}
RANKS = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def package_of(path: Path) -> str:
    """Return the package, or the single module, that a source file belongs to."""
    return path.relative_to(SOURCES).parts[0].removesuffix(".py")


def imported_packages(path: Path) -> Iterator[str]:
    """Yield the packages of dash_app that a file imports, for types too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "dash_app":
            yield from (alias.name for alias in node.names if alias.name in RANKS)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dash_app."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("dash_app."))


def arrows() -> set[tuple[str, str]]:
    """Return which package imports from which other one."""
    pairs = {
        (package_of(path), name)
        for path in SOURCES.rglob("*.py")
        for name in imported_packages(path)
    }
    return {(package, name) for package, name in pairs if package in RANKS and package != name}


def direct_arrows() -> set[tuple[str, str]]:
    """Return the arrows that no longer way implies: those of the picture."""
    found = arrows()
    reachable: dict[str, set[str]] = {}
    for name in sorted(RANKS, key=RANKS.__getitem__):
        direct = {target for package, target in found if package == name}
        reachable[name] = direct.union(*(reachable[target] for target in direct))
    return {
        (package, target)
        for package, target in found
        if not any(target in reachable[other] for source, other in found if source == package)
    }


def picture() -> str:
    """Return the picture of the packages as Markdown: a Mermaid flowchart and a table."""
    nodes = [f'    {name}["<b>{name}</b><br>{purpose}"]' for name, purpose in PURPOSES.items()]
    lines = [
        f"    {package} --> {target}" for package, target in sorted(direct_arrows(), key=_order)
    ]
    return "\n".join(["```mermaid", "flowchart TD", *nodes, *lines, "```", ""])


def _order(arrow: tuple[str, str]) -> tuple[object, ...]:
    return -RANKS[arrow[0]], -RANKS[arrow[1]], arrow


def drawn() -> str:
    """Return the README of dash_app with the picture of today."""
    before, rest = README.read_text().split(START)
    return f"{before}{START}{picture()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(drawn())
