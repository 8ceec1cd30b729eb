"""Schedules of faults: a few days, and a month that starts with the same days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests.drill.injected_faults import (
    HOUR,
    MINUTE,
    Expected,
    InjectedFault,
    acknowledged,
    blip,
    clock_off,
    disk_low,
    flapping,
    host_asleep,
    in_danger,
    large_wal,
    receiver_down,
    replaced,
    rolled_back,
    rows_deleted,
    service_down,
    service_killed,
    stopped,
    storm,
    unreadable,
    update_goes_wrong,
    writer_dies,
)
from tests.drill.runner import Drill
from tests.drill.world import MAIL, START


@dataclass(frozen=True)
class Scenario:
    """Faults during a time, in a world with a number of databases."""

    duration: timedelta
    databases: int
    faults: Sequence[InjectedFault]

    def run(self, folder: Path, seed: int = 1) -> Drill:
        """Let the service watch it; return the finished drill."""
        actions = [action for fault in self.faults for action in fault.actions]
        return Drill(folder, self.duration, self.databases, seed).run(actions)


def _at(day: int, hour: int, minute: int = 0) -> datetime:
    return START + timedelta(days=day, hours=hour, minutes=minute)


STORM = tuple(f"db{number:02}" for number in range(6, 19))


def few_days() -> Scenario:
    """Three days of six databases."""
    return Scenario(timedelta(days=3), 6, _first_days())


def month() -> Scenario:
    """A month of twenty databases that starts with the same days."""
    return Scenario(timedelta(days=31), 20, [*_first_days(), *_rest_of_the_month()])


def _first_days() -> list[InjectedFault]:
    return [
        stopped(
            "a table stops",
            (_at(0, 6, 10), 3 * HOUR),
            ("db00", 0),
            Expected(("db00",), "every_5_minutes", within=14 * MINUTE),
        ),
        writer_dies(_at(0, 12, 20), 150 * MINUTE, MAIL),
        unreadable(
            "a file is gone and comes back",
            (_at(0, 18), 40 * MINUTE),
            "file_missing",
            Expected(("db01",), "gone"),
        ),
        service_down(_at(1, 2), 5 * HOUR),
        update_goes_wrong(_at(1, 9), 5 * HOUR, "db04"),
        disk_low(_at(1, 15), 3 * HOUR),
        large_wal(_at(1, 20), 2 * HOUR, "db05"),
        flapping(_at(2, 3), 20, "db00"),
        host_asleep(_at(2, 6), 9 * HOUR),
        # Not by whole minutes: real readings never fall on the same instant twice.
        clock_off(_at(2, 16), 2 * HOUR, timedelta(seconds=7) - HOUR),
        blip(_at(2, 20), "db03"),
        in_danger(_at(2, 21), HOUR, "db02"),
    ]


def _rest_of_the_month() -> list[InjectedFault]:
    return [
        receiver_down(_at(4, 10), 2 * HOUR),
        stopped(
            "a table stops while the receiver is down",
            (_at(4, 10, 10), 4 * HOUR),
            ("db08", 0),
            Expected(("db08",), "every_5_minutes", within=150 * MINUTE),
        ),
        stopped(
            "a night is missed",
            (_at(6, 0), 36 * HOUR),
            ("db06", 0),
            Expected(("db06",), "nightly", within=30 * HOUR, over_within=14 * HOUR, reminders=1),
        ),
        # On a Friday noon. Apart from the rest of that day, no time counts until Monday.
        stopped(
            "a table of the office stops before a weekend",
            (_at(8, 10), 72 * HOUR),
            ("db01", 0),
            Expected(("db01",), "office", within=95 * MINUTE, over_within=HOUR, reminders=2),
        ),
        unreadable(
            "a folder is gone",
            (_at(7, 14), HOUR),
            "folder_missing",
            Expected(("db03", "db07", "db11", "db15", "db19"), "folder"),
        ),
        unreadable(
            "a lock is held", (_at(9, 9), 20 * MINUTE), "locked", Expected(("db09",), "lock")
        ),
        rows_deleted(_at(10, 9), 3 * HOUR, "db12"),
        replaced(_at(11, 9), 3 * HOUR, "db13"),
        rolled_back(_at(11, 15), 3 * HOUR, "db14"),
        unreadable(
            "a file is emptied", (_at(12, 9), 2 * HOUR), "no_tables", Expected(("db14",), "gone")
        ),
        unreadable(
            "a file is damaged", (_at(13, 9), 3 * HOUR), "corrupt", Expected(("db15",), "damaged")
        ),
        stopped(
            "a table stops, and the service restarts meanwhile",
            (_at(14, 10), 6 * HOUR),
            ("db16", 0),
            Expected(("db16",), "every_5_minutes", within=14 * MINUTE),
        ),
        service_down(_at(14, 12), 2 * MINUTE, "the service restarts"),
        unreadable(
            "a file stays away",
            (_at(15, 9), 50 * HOUR),
            "file_missing",
            Expected(("db17",), "gone", reminders=2),
        ),
        service_killed(_at(16, 12, 3), MINUTE),
        unreadable(
            "a file stays away, and somebody acknowledges it",
            (_at(18, 9), 50 * HOUR),
            "file_missing",
            Expected(("db18",), "gone"),
        ),
        acknowledged(_at(18, 9, 30), "db18"),
        service_down(_at(22, 1), 4 * HOUR, "the service is down while a file goes"),
        unreadable(
            "a file goes while the service is down",
            (_at(22, 3), 5 * HOUR),
            "file_missing",
            Expected(("db10",), "gone", within=124 * MINUTE),
        ),
        *storm(_at(24, 9), STORM),
        clock_off(_at(26, 9), HOUR, 3 * HOUR),
        flapping(_at(27, 9), 40, "db09"),
    ]
