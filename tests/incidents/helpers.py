"""Problems and statuses at some minutes after noon."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dash_app.model.database import Database
from dash_app.model.host_facts import Disk, Holder, Surroundings
from dash_app.model.problem import Level, Problem, ProblemCode, worst
from dash_app.model.reading import Code, Reading
from dash_app.model.snapshot import DatabaseStatus
from tests import factories

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
FOLDER = Path("/srv/agents")


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def finding(
    code: ProblemCode, since: float, *, table: str | None = None, level: Level = "fault"
) -> Problem:
    """A problem without a database; `status` gives it one."""
    needs_acknowledgement = code in {"rows_dropped", "rolled_back", "replaced"}
    text = f"{table or code} is wrong."
    return Problem(code, level, at(since), text, "Fix it.", None, table, needs_acknowledgement)


def status(
    name: str,
    now: datetime,
    *findings: Problem,
    code: Code | None = None,
    since: float = 0,
    written: float | None = None,
    pids: tuple[int, ...] = (),
    held: float = -60,
) -> DatabaseStatus:
    """A database with these problems, whose error `code` began at minute `since`.

    It was written at minute `written`, and the processes `pids` have held it since minute `held`.
    """
    holders = tuple(Holder(pid, f"agent-{pid}", ("open",), at(held)) for pid in pids)
    around = Surroundings(holders, disk=Disk(8, 1, 100))
    last = at(written) if written is not None else None
    reading = Reading(now, now, code, last_modified=last, surroundings=around)
    problems = [replace(finding, database=name) for finding in findings]
    if code and not any(finding.code == "gone" for finding in findings):
        error = Problem(code, "fault", at(since), f"Error: {code}.", "Look into it.", name)
        problems.insert(0, error)
    level = worst(["fault" if code else "well", *(finding.level for finding in findings)])
    database = Database(name, name.capitalize(), FOLDER / f"{name}.db")
    return factories.status(
        database, reading, since=at(since), level=level, problems=tuple(problems)
    )
