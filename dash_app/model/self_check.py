"""Whether Mission Control keeps its own promises."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise to the programs that write the databases: a measured value and its maximum."""

    name: str
    measured: int
    limit: int

    @property
    def is_kept(self) -> bool:
        """Whether the value is within its limit."""
        return self.measured <= self.limit


@dataclass(frozen=True, slots=True)
class SelfReport:
    """What Mission Control measured of itself; ticks are those that ended before this one."""

    promises: tuple[Promise, ...] = ()
    reader_pids: tuple[int, ...] = ()
    guards: tuple[str, ...] = ()
    """The kernel's guards that confine the child processes, such as `seccomp`."""
    sidecars_left: int = 0
    """How many WALs stayed behind because their last writer closed them during a reading."""
    ticks: int = 0
    ticks_missed: int = 0
    """Ticks that were skipped because the previous one took too long."""
    ticks_seconds: float = 0.0
    """Total duration of all ticks."""
