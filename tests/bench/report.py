"""Tables of measurements, and the targets that they reach or miss."""

import math
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median, quantiles
from typing import Any, Literal

OURS = "Mission Control"
Verdict = Literal["reached", "not reached", "undecided"]


def spread(values: Sequence[float]) -> float:
    """Return the interquartile range of values; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low


@dataclass(frozen=True, slots=True)
class Target:
    """A limit, and the value measured in each round."""

    text: str
    values: Sequence[float]
    limit: float
    at_most: bool = True

    @property
    def verdict(self) -> Verdict:
        """Whether it is reached; undecided if the spread is larger than the difference."""
        difference = self.limit - median(self.values)
        if spread(self.values) > abs(difference):
            return "undecided"
        return "reached" if difference == 0 or (difference > 0) == self.at_most else "not reached"


@dataclass(slots=True)
class Table:
    """The measurements of a subject: one row per system, with one value per round."""

    title: str
    unit: str
    rows: dict[str, list[float]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def add(self, system: str, value: float) -> None:
        """Add the value of a system in one round."""
        self.rows.setdefault(system, []).append(value)

    def ratio(
        self, text: str, system: str, reference: str, limit: float, *, at_most: bool = True
    ) -> None:
        """Set a target for the ratio of two systems, compared round by round."""
        pairs = zip(self.rows[system], self.rows[reference], strict=True)
        self.targets.append(Target(text, [value / base for value, base in pairs], limit, at_most))

    def difference(self, text: str, system: str, reference: str, limit: float) -> None:
        """Set a target for the difference of two systems, compared round by round."""
        pairs = zip(self.rows[system], self.rows[reference], strict=True)
        self.targets.append(Target(text, [value - base for value, base in pairs], limit))

    def value(self, text: str, system: str, limit: float) -> None:
        """Set a target for the values of a system."""
        self.targets.append(Target(text, self.rows[system], limit))

    def growth(self, system: str, sizes: Sequence[int], limit: float = 1.1) -> None:
        """Set a target for the steepest growth; 1 is linear. Rows are named by their size."""
        steps = [
            math.log(median(self.rows[f"{system}{big}"]) / median(self.rows[f"{system}{small}"]))
            / math.log(big / small)
            for small, big in pairwise(sizes)
        ]
        self.targets.append(Target(f"{system}steepest growth, 1 is linear", [max(steps)], limit))

    def text(self) -> str:
        """Return the table as text."""
        width = max(len(name) for name in self.rows)
        first = median(next(iter(self.rows.values())))
        lines = [f"{self.title}  [{self.unit}]  load {self.load:.1f}"]
        for name, values in self.rows.items():
            middle = median(values)
            ratio = f"{middle / first:.3g}" if first else ""
            lines.append(
                f"  {name:{width}}  {figure(middle):>9}  ±{figure(spread(values) / 2):<7}"
                f" ratio {ratio:<7} " + " ".join(map(figure, values))
            )
        lines += [self._line(target) for target in self.targets]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def _line(self, target: Target) -> str:
        bound = "at most" if target.at_most else "at least"
        value = f"{figure(median(target.values))}, {bound} {target.limit:g}"
        return f"  {target.verdict.upper()}: {target.text}: {value}"

    def document(self) -> dict[str, Any]:
        """Return the table as a document for JSON."""
        return {
            "title": self.title,
            "unit": self.unit,
            "load": self.load,
            "rows": {
                name: {"median": median(values), "spread": spread(values), "rounds": values}
                for name, values in self.rows.items()
            },
            "marks": [
                {
                    "text": target.text,
                    "value": median(target.values),
                    "limit": target.limit,
                    "atMost": target.at_most,
                    "verdict": target.verdict,
                }
                for target in self.targets
            ],
            "notes": self.notes,
        }


def figure(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def in_turns(rounds: int, measures: dict[str, Callable[[], float]], *tables: Table) -> None:
    """Measure the systems in turns (A B A B) and add the values to all tables."""
    for _ in range(rounds):
        for name, measure in measures.items():
            value = measure()
            for table in tables:
                table.add(name, value)


def machine() -> str:
    """Describe the machine and its load before the run."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    python = platform.python_version()
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return f"{cores} cores, {memory:.0f} GB, Python {python}, load {load:.2f}"
