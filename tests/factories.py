"""Made-up values for tests: clocks, readings, statuses and snapshots."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dash_app.model.database import Database
from dash_app.model.expectation import Rules
from dash_app.model.reading import Code, Reading, TableCount
from dash_app.model.snapshot import DatabaseState, DatabaseStatus, Snapshot
from dash_app.rules.changes import next_state
from dash_app.rules.judge import Evidence, judge
from dash_app.system.clock import Clock
from dash_app.words.errors import WordingContext

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=58)
STALE_AFTER = timedelta(seconds=60)
WORDING = WordingContext(
    Path("~/.config/mission-control/config.toml"), "clawd", timedelta(seconds=2)
)

AWKWARD_TABLE_NAMES = [
    "with space",
    'double "quotes"',
    "single 'quotes'",
    "[brackets]",
    "`ticks`",
    "semi; DROP TABLE x; --",
    "🚀 rocket",
    "",
    "select",
    "order",
    "main.agents",
    "new\nline",
    "1",
    "%s {} ?1 :a $b @c",
    "sqlit",
]


class FakeClock(Clock):
    """Two clocks that stand still unless moved; `wall` may be set."""

    def __init__(self, wall: datetime) -> None:
        self.wall = wall
        self.passed = timedelta(0)

    def now(self) -> datetime:
        return self.wall

    def steady_seconds(self) -> float:
        return 1000.0 + self.passed.total_seconds()

    def advance(self, time: timedelta) -> None:
        """Let time pass on both clocks."""
        self.wall += time
        self.passed += time


def database(name: str = "email", rules: Rules | None = None) -> Database:
    """Return a database at a path that does not exist."""
    return Database(name, name.capitalize(), Path(f"/srv/{name}.db"), rules or Rules())


def good_reading(verified_at: datetime = NOW, /, **rows: int | None) -> Reading:
    """Return a reading at `NOW` of tables with these numbers of rows."""
    tables = {name: TableCount(count, NOW) for name, count in rows.items()}
    return Reading(NOW, verified_at, tables=tables, last_modified=NOW - timedelta(seconds=7))


def failed_reading(code: Code) -> Reading:
    """Return a reading that has failed since `EARLIER`."""
    return Reading(EARLIER, NOW, code=code)


def status(database: Database, reading: Reading, **fields: Any) -> DatabaseStatus:
    """Return a status with these fields. By default, a failed reading makes it a fault."""
    has_failed = reading.code is not None
    defaults: dict[str, Any] = {
        "status": "error" if has_failed else "connected",
        "since": reading.read_at,
        "level": "fault" if has_failed else "well",
        "verdict": "",
        "last_good": None,
    }
    return DatabaseStatus(database=database, reading=reading, **(defaults | fields))


def judged_status(
    reading: Reading, before: DatabaseState | None = None, *, name: str = "email"
) -> DatabaseStatus:
    """Return the status that the sampler would publish at `NOW`, without expectations."""
    state, is_stale = next_state(reading, before), NOW - reading.verified_at > STALE_AFTER
    return judge(Evidence(database(name), reading, state, is_stale=is_stale), WORDING)


def snapshot(at: datetime, **tables: dict[str, int | None] | None) -> Snapshot:
    """Return a snapshot of databases with these tables; one without tables cannot be read."""
    statuses = []
    for name, rows in tables.items():
        counts = {table: TableCount(count, at) for table, count in (rows or {}).items()}
        code: Code | None = None if rows else "corrupt"
        read = Reading(at, at, code, tables=counts, size_bytes=4096)
        statuses.append(status(database(name), read))
    return Snapshot(at, tuple(statuses))
