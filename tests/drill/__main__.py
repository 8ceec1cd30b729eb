"""Prints the month's log: what was said and when, and what was wrong with that."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from tests.drill.checks import Said, faults
from tests.drill.runner import Drill
from tests.drill.scenarios import Course, few_days, month


@click.command()
@click.option("--few-days", "is_short", is_flag=True, help="Three days of 18 tables.")
@click.option("--seed", default=1, help="Another world of the same rhythms; 1 by default.")
def main(*, is_short: bool, seed: int) -> None:
    """Live through a month of failures, and say what a person was told.

    Ends with 0 if each failure was told once, in time and with its cause, and nothing else was.
    """
    logging.disable(logging.CRITICAL)  # of every incident the service writes a line
    course = few_days() if is_short else month()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        drill = Drill(Path(folder), course, seed)
        said = drill.run()
    for one in said:
        click.echo(f"{one.at:%a %d %b %H:%M}  {one.kind:8}  {' '.join(one.text.splitlines())}")
    wrong = faults(course.plants, said)
    click.echo(_summary(course, drill, said, time.monotonic() - began))
    click.echo(
        "\n".join(wrong)
        or "Each failure was told once, in time and with its cause; nothing else was."
    )
    sys.exit(1 if wrong else 0)


def _summary(course: Course, drill: Drill, said: Sequence[Said], took_seconds: float) -> str:
    tables = sum(len(store.tables) for store in drill.world.stores.values())
    kinds = Counter(one.kind for one in said)
    hours = Counter(f"{one.at:%d %H}" for one in said)
    days = Counter(one.at.date() for one in said)
    return (
        f"\n{course.lasts.days} days of {tables} tables in {len(drill.world.stores)} databases,"
        f" {drill.looks:,} looks in {took_seconds:.0f} s."
        f"\n{len(course.plants)} events planted. A person received {len(said)} messages:"
        f" {', '.join(f'{number} {kind}' for kind, number in kinds.most_common())};"
        f" {max(hours.values(), default=0)} at most in an hour,"
        f" {max(days.values(), default=0)} in a day, and none on"
        f" {course.lasts.days - len(days)} days.\n"
    )


if __name__ == "__main__":
    main()
