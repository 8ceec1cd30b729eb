"""The settings of one run."""

from dataclasses import dataclass
from pathlib import Path

from tests.bench.workloads import Workloads


@dataclass(frozen=True, slots=True)
class Run:
    """How long to measure, and the databases to measure on."""

    full: bool
    workloads: Workloads

    @property
    def folder(self) -> Path:
        """A folder for temporary files; it is deleted after the run."""
        return self.workloads.folder

    def either(self, short: int, full: int) -> int:
        """Return the amount for the form that was chosen."""
        return full if self.full else short
