"""Prints a simulated month of notifications, or the rescue of databases in danger."""

import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from tests.drill import rescue
from tests.drill.checks import errors
from tests.drill.runner import Drill
from tests.drill.scenarios import Scenario, few_days, month


@click.group(invoke_without_command=True)
@click.option("--few-days", "is_short", is_flag=True, help="Three days of 18 tables.")
@click.option("--seed", default=1, help="Vary the writes; 1 by default.")
@click.pass_context
def main(context: click.Context, *, is_short: bool, seed: int) -> None:
    """Simulate a month of faults and print the notifications that a person received.

    Exit with 0 if each fault was notified once, in time and with its cause, and nothing else was.
    """
    if context.invoked_subcommand:
        return
    logging.disable(logging.CRITICAL)  # the service logs a line per incident
    scenario = few_days() if is_short else month()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        drill = scenario.run(Path(folder), seed)
    for message in drill.received:
        text = " ".join(message.text.splitlines())
        click.echo(f"{message.at:%a %d %b %H:%M}  {message.kind:8}  {text}")
    wrong = errors(scenario.faults, drill.received)
    click.echo(_summary(scenario, drill, time.monotonic() - start))
    click.echo(
        "\n".join(wrong)
        or "Each fault was notified once, in time and with its cause; nothing else was."
    )
    sys.exit(1 if wrong else 0)


@main.command("rescue")
def rescue_command() -> None:
    """Let programs destroy databases, and follow the steps that `./ops/run doctor` prints.

    Exit with 0 if the steps recover every committed row, except those that are known to be lost.
    """
    wrong = []
    for mechanism in rescue.MECHANISMS:
        click.echo(f"{mechanism.kind}: {mechanism.title}")
        with tempfile.TemporaryDirectory() as folder:
            outcome = rescue.drill(mechanism, Path(folder), click.echo)
        click.echo(f"{rescue.summary(mechanism, outcome)}\n")
        wrong += [text for text in [rescue.error(mechanism, outcome)] if text]
    if not rescue.HAS_TURSO:
        click.echo("engine_foreign is not drilled: the package pyturso is not installed.")
    click.echo("\n".join(wrong) or "The steps recover every row that was not overwritten before.")
    sys.exit(1 if wrong else 0)


def _summary(scenario: Scenario, drill: Drill, took_seconds: float) -> str:
    tables = sum(len(store.tables) for store in drill.world.stores.values())
    kinds = Counter(message.kind for message in drill.received)
    hours = Counter(f"{message.at:%d %H}" for message in drill.received)
    days = Counter(message.at.date() for message in drill.received)
    return (
        f"\n{scenario.duration.days} days of {tables} tables in {scenario.databases} databases,"
        f" {drill.ticks:,} ticks in {took_seconds:.0f} s."
        f"\n{len(scenario.faults)} faults injected, {len(drill.received)} notifications received:"
        f" {', '.join(f'{number} {kind}' for kind, number in kinds.most_common())};"
        f" at most {max(hours.values(), default=0)} per hour"
        f" and {max(days.values(), default=0)} per day, none on"
        f" {scenario.duration.days - len(days)} days.\n"
    )


if __name__ == "__main__":
    main()
