"""Measures what Mission Control costs, compared with other systems and with targets.

All systems are measured in turns in the same run. A target is undecided if the rounds differ by
more than the distance to it.
"""

import json
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.bench.report import Table, machine
from tests.bench.run import Run
from tests.bench.systems import mission_control
from tests.bench.workloads import Workloads

SUBJECTS = (
    *("status", "truth", "watching", "observed", "measures", "memory"),
    *("start", "page", "history", "growth"),
)


@click.command(help=__doc__)
@click.option("--full", is_flag=True, help="Measure for hours instead of minutes.")
@click.option("--only", multiple=True, type=click.Choice(SUBJECTS), help="Repeatable.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Also write JSON to this file.",
)
def main(only: tuple[str, ...], output: Path | None, *, full: bool) -> None:
    """Measure one subject after the other and print each result at once."""
    tables: list[Table] = []
    host = machine()
    click.echo(f"{host}; {'long' if full else 'short'} form\n")
    with TemporaryDirectory(prefix="bench-") as folder:
        run = Run(full, Workloads(Path(folder)))
        with mission_control(run.workloads.config("seed", run.workloads.seed)) as system:
            system.get("/_dash-layout")  # compiles the modules, as ops/install does
        for subject in only or SUBJECTS:
            for table in import_module(f"tests.bench.{subject}").measure(run):
                click.echo(f"{table.text()}\n")
                tables.append(table)
    verdicts = [target.verdict for table in tables for target in table.targets]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))
    click.echo(f"{len(verdicts)} targets: {counts}")
    if output:
        document = {"machine": host, "full": full, "tables": [table.document() for table in tables]}
        output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
