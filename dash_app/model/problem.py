"""A problem: anything that is wrong now, with a database or with Mission Control itself."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args

from dash_app.model.conflict import ConflictKind
from dash_app.model.event import Absence
from dash_app.model.expectation import OVERDUE
from dash_app.model.reading import ABSENCES, Code

Level = Literal["well", "notice", "unknown", "fault"]
"""How much a database needs a person."""

SEVERITY: tuple[Level, ...] = ("well", "notice", "unknown", "fault")
"""Levels from best to worst."""

LimitKind = Literal[
    "late",
    "down",
    "few_rows",
    "no_such_table",
    "wal_large",
    "file_large",
    "disk_low",
    "mounted_alone",
    "measure_out_of_range",
    "measure_failed",
]
"""An expectation or a limit of the configuration that does not hold."""

FindingKind = Literal[
    Absence,
    "rows_dropped",
    "rolled_back",
    "replaced",
    "log_held",
    "wal_growing",
    "pages_damaged",
    ConflictKind,
    LimitKind,
]

ProblemCode = Literal[FindingKind, Code, "alerts_failing"]

DANGERS = frozenset(get_args(ConflictKind))
"""Codes of programs that are destroying a database now."""

HARM: tuple[frozenset[str], ...] = (
    DANGERS,
    frozenset({"rows_dropped", "rolled_back", "replaced", "emptied", "truncated"}),
    frozenset({"corrupt", "pages_damaged", "not_a_database", "reader_crashed"}),
    frozenset({"gone", *ABSENCES}),
)
"""Codes by the harm that they mean: rows are being lost, lost rows, damage, tables that are gone.

Others come later."""

MILD = frozenset({*get_args(LimitKind), "log_held", "wal_growing", "alerts_failing"})
"""Codes that come last: the data is there, but late, or beyond a limit."""

DANGER = "danger"
FAMILIES: dict[str, str] = {
    "late": "down",
    "wal_large": "log_held",
    "wal_growing": "log_held",
    **dict.fromkeys(DANGERS, DANGER),
}
"""Codes that lead to another code, or follow from it: both have one cause."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong now: since when, in one sentence, and what to do about it.

    Its code is the reading's error code, or names a rule that does not hold. Most problems end with
    their cause; one that `needs_acknowledgement` ends when its cause is undone or a person
    acknowledges it.
    """

    code: ProblemCode
    level: Level
    since: datetime
    text: str
    remedy: str
    database: str | None = None
    """Name of the database; None for a problem of Mission Control itself."""
    table: str | None = None
    """The table concerned; None for the whole database."""
    needs_acknowledgement: bool = False
    text_since: datetime | None = None
    """The time in `text` since when something lasts, if not `since`.

    Text is stored, so it has clock times only; see `words.problems.current_parts`.
    """
    evidence: str = ""
    """Facts that show it, a line per process; empty if the text says all."""
    measure: str | None = None
    """The name of the measure concerned; None if there is none."""

    @property
    def is_danger(self) -> bool:
        """Whether a program is certainly destroying the database."""
        return self.code in DANGERS and self.level == "fault"

    @property
    def subject(self) -> str:
        """The database and table or measure concerned: `email.messages`, `email.measure:open`.

        Empty without a database.
        """
        measure = f"measure:{self.measure}" if self.measure else None
        return ".".join(name for name in (self.database, self.table, measure) if name)

    @property
    def id(self) -> str:
        """Identifies the problem for as long as it lasts; stored with its incident."""
        code = family(self.code) if self.is_silence else self.code
        since = f"{self.since:%Y-%m-%dT%H:%M:%S}" if self.needs_acknowledgement else ""
        return ":".join(part for part in (self.subject, code, since) if part)

    @property
    def is_silence(self) -> bool:
        """Whether an expected write did not come."""
        return self.code in OVERDUE


def family(code: str) -> str:
    """Return the code that stands for all codes with the same cause."""
    return FAMILIES.get(code, code)


def worst(levels: Iterable[Level]) -> Level:
    """Return the worst level; "well" if there is none."""
    return max(levels, key=SEVERITY.index, default="well")


def worst_first(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems by their level, then by their harm; equal ones keep their order."""
    return sorted(problems, key=lambda problem: harm_rank(problem.level, problem.code))


def danger_first(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems with the dangers first, and in danger with one remedy only.

    The remedies of other problems, such as to restart a program, could complete the loss.
    """
    ordered = sorted(problems, key=lambda problem: not problem.is_danger)
    remedy = next((problem.remedy for problem in ordered if problem.is_danger), None)
    return [
        problem if problem.is_danger or remedy is None else replace(problem, remedy=remedy)
        for problem in ordered
    ]


def harm_rank(level: Level, code: str) -> tuple[int, int]:
    """Return a key that sorts problems, databases and incidents, worst first."""
    known = (rank for rank, codes in enumerate(HARM) if code in codes)
    return -SEVERITY.index(level), next(known, len(HARM) + (code in MILD))
