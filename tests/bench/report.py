"""Tables of what was measured in turns, and the marks that a ratio reaches or misses."""

from __future__ import annotations

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
    """Return the range of the middle half of some values; 0 for a single one."""
    if len(values) < 2:
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low


@dataclass(frozen=True, slots=True)
class Mark:
    """A limit, and what was measured against it in each round."""

    text: str
    values: Sequence[float]
    limit: float
    at_most: bool = True

    @property
    def verdict(self) -> Verdict:
        """Whether it is reached; undecided where the spread is larger than the difference."""
        difference = self.limit - median(self.values)
        if spread(self.values) > abs(difference):
            return "undecided"
        return "reached" if difference == 0 or (difference > 0) == self.at_most else "not reached"


@dataclass(slots=True)
class Table:
    """One question's answer: a row a system, its values in the order of the rounds."""

    title: str
    unit: str
    rows: dict[str, list[float]] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def add(self, system: str, value: float) -> None:
        """Take what one round measured of a system."""
        self.rows.setdefault(system, []).append(value)

    def ratio(
        self, text: str, system: str, reference: str, limit: float, *, at_most: bool = True
    ) -> None:
        """Mark the ratio of two systems, round by round."""
        pairs = zip(self.rows[system], self.rows[reference], strict=True)
        self.marks.append(Mark(text, [one / other for one, other in pairs], limit, at_most))

    def difference(self, text: str, system: str, reference: str, limit: float) -> None:
        """Mark by how much one system is above another, round by round."""
        pairs = zip(self.rows[system], self.rows[reference], strict=True)
        self.marks.append(Mark(text, [one - other for one, other in pairs], limit))

    def value(self, text: str, system: str, limit: float) -> None:
        """Mark what was measured itself."""
        self.marks.append(Mark(text, self.rows[system], limit))

    def growth(self, system: str, sizes: Sequence[int], most: float = 1.1) -> None:
        """Mark the steepest growth from size to size: 1 is linear, the rows being named by size."""
        steps = [
            math.log(median(self.rows[f"{system}{big}"]) / median(self.rows[f"{system}{small}"]))
            / math.log(big / small)
            for small, big in pairwise(sizes)
        ]
        self.marks.append(Mark(f"{system}steepest growth, 1 is linear", [max(steps)], most))

    def text(self) -> str:
        """Return the table for people."""
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
        lines += [self._line(mark) for mark in self.marks]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def _line(self, mark: Mark) -> str:
        bound = "at most" if mark.at_most else "at least"
        told = f"{figure(median(mark.values))}, {bound} {mark.limit:g}"
        return f"  {mark.verdict.upper()}: {mark.text}: {told}"

    def document(self) -> dict[str, Any]:
        """Return the table for programs."""
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
                    "text": mark.text,
                    "value": median(mark.values),
                    "limit": mark.limit,
                    "atMost": mark.at_most,
                    "verdict": mark.verdict,
                }
                for mark in self.marks
            ],
            "notes": self.notes,
        }


def figure(value: float) -> str:
    """Return a number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def in_turns(rounds: int, measures: dict[str, Callable[[], float]], *tables: Table) -> None:
    """Measure A B A B into a table."""
    for _ in range(rounds):
        for name, measure in measures.items():
            value = measure()
            for table in tables:
                table.add(name, value)


def machine() -> str:
    """Return what the numbers were measured on, and how busy it was before."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    python = platform.python_version()
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return f"{cores} cores, {memory:.0f} GB, Python {python}, load {load:.2f}"
