"""Propose entries of the configuration for files that were found."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from dash_app.model.naming import distinct_titles, label, slug, title, unique_name
from dash_app.settings.toml_edit import toml_string


@dataclass(frozen=True, slots=True)
class Proposal:
    """An entry of `[[databases]]`."""

    name: str
    label: str
    path: Path
    program: str | None
    """The program whose tables it has, if it was recognized."""

    @property
    def toml(self) -> str:
        """The entry as TOML."""
        reason = [f"# {self.program}, by its tables."] if self.program else []
        lines = [*reason, "[[databases]]", f'name = "{self.name}"']
        lines.append(f"path = {toml_string(str(self.path))}")
        if self.label != self.name.replace("_", " ").replace("-", " ").capitalize():
            lines.append(f"label = {toml_string(self.label)}")
        return "\n".join(lines) + "\n"


def propose(files: Iterable[tuple[Path, str | None]], taken: Collection[str]) -> list[Proposal]:
    """Propose an entry per file, in order of path.

    `files`: absolute paths, each with its program if known; `taken`: names of other databases.
    """
    ordered = sorted(files)
    paths = [path for path, _program in ordered]
    titles = distinct_titles(paths, [program or title(path) for path, program in ordered])
    proposals: list[Proposal] = []
    names = set(taken)
    for (path, program), text in zip(ordered, titles, strict=True):
        name = unique_name(slug(text), names)
        names.add(name)
        number = name.removeprefix(slug(text)).replace("-", " ")
        proposals.append(Proposal(name, label(text) + number, path, program))
    return proposals
