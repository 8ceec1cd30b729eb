"""Checks this installation: service, databases, network, alerts, history and clock.

No check changes anything, and only the airlock opens watched files.
"""

from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread

from dash_app.doctor import (
    alerts,
    clock,
    databases,
    history,
    measures,
    network,
    service,
    unwatched,
)
from dash_app.doctor.check import Check
from dash_app.model.problem import Level, worst
from dash_app.settings import Settings, default_path, unread_configuration
from dash_app.system.exit_codes import ExitCode
from dash_app.system.users import own_user_name
from dash_app.words import numbers
from dash_app.words.commands import RUN
from dash_app.words.errors import WordingContext
from dash_app.words.summaries import pattern_note

__all__ = ["Check", "examine", "exit_code"]

LIMIT_SECONDS = 15.0
"""Time limit per part, beyond the deadlines of the databases: a disk may hang."""


def examine(settings: Settings) -> Iterator[Check]:
    """Yield all checks, in the order in which a person would fix them."""
    place = WordingContext(settings.source, own_user_name(), settings.sampler.deadline)
    limit_seconds = LIMIT_SECONDS + databases.WAITS * place.deadline.total_seconds()
    parts: dict[str, Callable[[], Iterable[Check]]] = {
        "configuration": lambda: _configuration(settings),
        "service": service.examine,
        "databases": lambda: databases.examine(settings, place),
        "measures": lambda: measures.examine(settings),
        "folders": lambda: unwatched.examine(settings.databases, settings.source),
        "network": lambda: network.examine(settings.server, settings.source),
        "refusals": lambda: network.examine_refusals(settings.server),
        "alerts": lambda: alerts.examine(settings.alerts),
        "history": lambda: history.examine(settings.history.path, place),
        "clock": lambda: clock.examine(settings.history.path),
    }
    for name, part in parts.items():
        yield from checked(name, part, limit_seconds)


def exit_code(checks: Iterable[Check]) -> ExitCode:
    """Return the exit code for the worst level of some checks."""
    codes = {"fault": ExitCode.NEEDS_YOU, "unknown": ExitCode.CANNOT_TELL}
    return codes.get(worst(check.level for check in checks), ExitCode.WELL)


def checked(
    name: str, part: Callable[[], Iterable[Check]], limit_seconds: float
) -> Iterable[Check]:
    """Return the checks of a part; one of level "unknown" if it fails or exceeds its time."""
    answers: SimpleQueue[list[Check]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put(list(part()))
        except Exception as error:  # noqa: BLE001 - the other parts go on
            text = f"The {name} could not be checked: {error!r}."
            answers.put([Check("unknown", "check_failed", text)])

    Thread(target=run, daemon=True).start()
    try:
        return answers.get(timeout=limit_seconds)
    except Empty:
        text = f"The {name} could not be checked within {limit_seconds:g} s."
        return [Check("unknown", "check_hangs", text, "A disk or mount may hang. See `dmesg`.")]


def _configuration(settings: Settings) -> Iterator[Check]:
    shown = numbers.short_path(settings.source)
    if settings.source.is_file():
        yield Check("well", "configuration", f"Configuration {shown} is valid.")
    else:
        text = f"No configuration at {shown}: the five default databases are watched."
        yield Check("notice", "no_configuration", text, f"{RUN} discover --save")
    for pattern in settings.patterns:
        level: Level = "well" if pattern.watched and pattern.unwatched == 0 else "notice"
        cure = (
            "" if pattern.watched else "Check its `path`, and that this user may list its folders."
        )
        yield Check(level, "pattern", pattern_note(pattern), cure)
    if unread := unread_configuration(settings.source):
        text = f"{numbers.short_path(unread)} is not read: XDG_CONFIG_HOME does not apply here."
        cure = f"Move it to {numbers.short_path(default_path())}, or start with --config FILE."
        yield Check("notice", "configuration_not_read", text, cure)
