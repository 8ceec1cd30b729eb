"""Measures what Mission Control costs beside its peers and limits, in turns, in the same run.

A mark is undecided where the spread of the rounds is larger than the distance from it.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.bench.report import Table, machine
from tests.bench.run import Run
from tests.bench.systems import watching
from tests.bench.workloads import Workloads

QUESTIONS = (
    *("status", "truth", "watching", "observed", "memory"),
    *("start", "page", "history", "growth"),
)


@click.command(help=__doc__)
@click.option("--full", is_flag=True, help="The long form: hours, not minutes.")
@click.option("--only", multiple=True, type=click.Choice(QUESTIONS), help="Repeatable.")
@click.option("--output", type=click.Path(path_type=Path), help="Where to write JSON too.")
def main(only: tuple[str, ...], output: Path | None, *, full: bool) -> None:
    """Ask one question after the other, and print each answer at once."""
    found: list[Table] = []
    on = machine()
    click.echo(f"{on}; {'long' if full else 'short'} form\n")
    with TemporaryDirectory(prefix="bench-") as folder:
        run = Run(full, Workloads(Path(folder)))
        with watching(run.workloads.config("seed", run.workloads.seed)) as system:
            system.get("/_dash-layout")  # compiles what it loads, as ops/install does
        for question in only or QUESTIONS:
            for table in import_module(f"tests.bench.{question}").ask(run):
                click.echo(f"{table.text()}\n")
                found.append(table)
    marks = [mark.verdict for table in found for mark in table.marks]
    told = ", ".join(f"{marks.count(one)} {one}" for one in sorted(set(marks)))
    click.echo(f"{len(marks)} marks: {told}")
    if output:
        document = {"machine": on, "full": full, "tables": [one.document() for one in found]}
        output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
