"""Failures to inject, each with the notifications that a person must receive of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dash_app.model.conflict import Conflict
from dash_app.model.reading import Code
from tests.drill.runner import Action, Drill
from tests.drill.world import GB, Store

LOCKED_AND_FREE: tuple[Code | None, ...] = ("locked", None)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Expected:
    """The notifications expected of one incident: its fault, `reminders`, and its end.

    `databases` are those that the incident concerns, and both texts must contain `cause`. The
    fault must arrive `within` a time from its start, the end `over_within` a time from its end.
    """

    databases: tuple[str, ...]
    cause: str
    within: timedelta = 4 * MINUTE
    over_within: timedelta = 10 * MINUTE
    reminders: int = 0


@dataclass(frozen=True)
class InjectedFault:
    """A failure from `start` to `end`. Nothing may be notified of it if `expected` is empty."""

    name: str
    start: datetime
    end: datetime
    expected: tuple[Expected, ...] = ()
    actions: Sequence[tuple[datetime, Action]] = field(default_factory=tuple)


def _lasting(
    name: str,
    start: datetime,
    duration: timedelta,
    break_: Action,
    repair: Action,
    *expected: Expected,
) -> InjectedFault:
    end = start + duration
    return InjectedFault(name, start, end, expected, ((start, break_), (end, repair)))


def _change(database: str, change: Callable[[Store], None]) -> Action:
    return lambda drill: change(drill.world.stores[database])


def _stop(database: str, table: int, by: int = 1) -> Action:
    def stop(store: Store) -> None:
        list(store.tables.values())[table].stoppages += by

    return _change(database, stop)


def stopped(
    name: str, when: tuple[datetime, timedelta], where: tuple[str, int], expected: Expected
) -> InjectedFault:
    """A table, given by its database and number, is no longer written."""
    return _lasting(name, *when, _stop(*where), _stop(*where, -1), expected)


def unreadable(
    name: str, when: tuple[datetime, timedelta], code: Code, expected: Expected
) -> InjectedFault:
    """Databases cannot be read, all for the same reason."""
    databases = expected.databases
    return _lasting(name, *when, _set_code(databases, code), _set_code(databases, None), expected)


def blip(start: datetime, database: str) -> InjectedFault:
    """A database is locked for one reading."""
    databases = (database,)
    locked, free = _set_code(databases, "locked"), _set_code(databases, None)
    return _lasting("a blip", start, MINUTE, locked, free)


def storm(start: datetime, databases: Sequence[str]) -> list[InjectedFault]:
    """Many databases fail within minutes, each by itself, beyond the hourly limit."""
    return [
        unreadable(
            f"a storm, {database}",
            (start + number * MINUTE, 2 * HOUR),
            "locked",
            Expected((database,), "", within=70 * MINUTE, over_within=70 * MINUTE),
        )
        for number, database in enumerate(databases)
    ]


def acknowledged(at: datetime, database: str) -> InjectedFault:
    """Somebody acknowledges a database's incident."""

    def acknowledge(drill: Drill) -> None:
        drill.acknowledge(database)

    return InjectedFault("an acknowledgement", at, at, (), ((at, acknowledge),))


def _set_code(databases: Sequence[str], code: Code | None) -> Action:
    def change(drill: Drill) -> None:
        for database in databases:
            store = drill.world.stores[database]
            if code is None:
                store.come_back(drill.world.wall)
            store.code = code

    return change


def writer_dies(start: datetime, duration: timedelta, databases: tuple[str, ...]) -> InjectedFault:
    """The common writer of several databases ends; another process replaces it later."""

    def die(drill: Drill) -> None:
        for database in databases:
            drill.world.stores[database].is_running = False
            drill.world.stores[database].is_dirty = True

    def come_back(drill: Drill) -> None:
        for database in databases:
            store = drill.world.stores[database]
            store.is_running, store.pid = True, store.pid + 1000
            store.process_started = drill.world.wall
            store.is_dirty = True

    expected = Expected(databases, "agent-mail", within=16 * MINUTE, over_within=90 * MINUTE)
    name = "the writer of three databases dies"
    return _lasting(name, start, duration, die, come_back, expected)


def update_goes_wrong(start: datetime, duration: timedelta, database: str) -> InjectedFault:
    """A new version changes the schema and loses rows; then a backup is restored."""
    rows_before: dict[str, int] = {}

    def lose(store: Store) -> None:
        rows_before.update({table.name: table.rows for table in store.tables.values()})
        store.columns += 1
        for table in store.tables.values():
            table.rows //= 10
        store.is_dirty = True

    def restore(store: Store) -> None:
        for table in store.tables.values():
            table.rows += rows_before[table.name]
        store.is_dirty = True

    return _lasting(
        "an update changes the schema and loses rows",
        start,
        duration,
        _change(database, lose),
        _change(database, restore),
        Expected((database,), "schema changed"),
    )


def rows_deleted(start: datetime, duration: timedelta, database: str) -> InjectedFault:
    """Nearly all rows are deleted, and later restored."""
    rows_before: dict[str, int] = {}

    def delete(store: Store) -> None:
        rows_before.update({table.name: table.rows for table in store.tables.values()})
        for table in store.tables.values():
            table.rows = 5
        store.is_dirty = True

    def restore(store: Store) -> None:
        for table in store.tables.values():
            table.rows += rows_before[table.name]
        store.is_dirty = True

    break_, repair = _change(database, delete), _change(database, restore)
    expected = Expected((database,), "rows")
    return _lasting("rows are deleted", start, duration, break_, repair, expected)


def disk_low(start: datetime, duration: timedelta) -> InjectedFault:
    """The disk of all databases is nearly full."""

    def set_free(free_bytes: int) -> Action:
        def change(drill: Drill) -> None:
            for store in drill.world.stores.values():
                store.free_bytes, store.is_dirty = free_bytes, True

        return change

    expected = Expected(("db00",), "disk")
    name = "the disk is nearly full"
    return _lasting(name, start, duration, set_free(GB // 5), set_free(100 * GB), expected)


def large_wal(start: datetime, duration: timedelta, database: str) -> InjectedFault:
    def set_size(wal_bytes: int) -> Action:
        def change(store: Store) -> None:
            store.wal_bytes, store.is_dirty = wal_bytes, True

        return _change(database, change)

    expected = Expected((database,), "WAL")
    break_, repair = set_size(2 * GB), set_size(GB // 100)
    return _lasting("a WAL is large", start, duration, break_, repair, expected)


def in_danger(start: datetime, duration: timedelta, database: str) -> InjectedFault:
    """A program uses a WAL of its own, until it ends. It is notified with the next reading."""

    def use(*conflicts: Conflict) -> Action:
        def change(store: Store) -> None:
            store.conflicts, store.is_dirty = conflicts, True

        return _change(database, change)

    expected = Expected((database,), "(pid 812, agent.service)", within=MINUTE)
    begin = use(Conflict("wal_split", start, 812, "python3", "agent.service"))
    return _lasting("a database is in danger", start, duration, begin, use(), expected)


def flapping(start: datetime, times: int, database: str) -> InjectedFault:
    """A database is locked for two of every three minutes: one incident."""
    actions = [
        (start + 3 * number * MINUTE + (0 if code else 2) * MINUTE, _set_code((database,), code))
        for number in range(times)
        for code in LOCKED_AND_FREE
    ]
    return InjectedFault(
        "flapping", start, actions[-1][0], (Expected((database,), "lock"),), actions
    )


def service_down(
    start: datetime, duration: timedelta, name: str = "the service is down"
) -> InjectedFault:
    return _lasting(name, start, duration, Drill.stop, Drill.start)


def service_killed(at: datetime, duration: timedelta) -> InjectedFault:
    """The service is killed, as by the OOM killer, and started again."""
    return _lasting("the service is killed", at, duration, Drill.kill, Drill.start)


def host_asleep(start: datetime, duration: timedelta) -> InjectedFault:
    def set_asleep(*, is_asleep: bool) -> Action:
        return lambda drill: setattr(drill.world, "is_asleep", is_asleep)

    sleep, wake = set_asleep(is_asleep=True), set_asleep(is_asleep=False)
    return _lasting("the host sleeps", start, duration, sleep, wake)


def clock_off(start: datetime, duration: timedelta, by: timedelta) -> InjectedFault:
    def set_clock(offset: timedelta) -> Action:
        return lambda drill: setattr(drill.world, "wall_offset", offset)

    name = f"the clock is set {'back' if by < timedelta(0) else 'forward'}"
    return _lasting(name, start, duration, set_clock(by), set_clock(timedelta(0)))


def receiver_down(start: datetime, duration: timedelta) -> InjectedFault:
    def set_receiver(*, answers: bool) -> Action:
        return lambda drill: setattr(drill, "receiver_answers", answers)

    fail, recover = set_receiver(answers=False), set_receiver(answers=True)
    return _lasting("the alerts' receiver is down", start, duration, fail, recover)


def replaced(start: datetime, duration: timedelta, database: str) -> InjectedFault:
    """Another file takes the place of a database, until the former one is put back."""

    def put(inode: int) -> Action:
        def change(store: Store) -> None:
            store.inode, store.is_dirty = inode, True

        return _change(database, change)

    expected = Expected((database,), "replaced")
    return _lasting("a file is replaced", start, duration, put(101), put(100), expected)


def rolled_back(start: datetime, duration: timedelta, database: str) -> InjectedFault:
    """An older copy is written over a database, until a person dismisses the event."""

    def restore(store: Store) -> None:
        store.changes //= 2
        for table in store.tables.values():
            table.rows -= table.rows // 10
        assert store.written_at is not None
        store.written_at -= HOUR
        store.is_dirty = True

    return _lasting(
        "an older copy is restored",
        start,
        duration,
        _change(database, restore),
        lambda drill: drill.dismiss(database),
        Expected((database,), "older"),
    )
