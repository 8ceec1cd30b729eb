"""What the questions of one run share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.bench.workloads import Workloads


@dataclass(frozen=True, slots=True)
class Run:
    """How thoroughly to measure, and on what; `folder` is for whatever a question needs."""

    full: bool
    workloads: Workloads

    @property
    def folder(self) -> Path:
        """A folder for the time of the run."""
        return self.workloads.folder

    def either(self, short: int, full: int) -> int:
        """Return how much to do, in the form that was chosen."""
        return full if self.full else short
