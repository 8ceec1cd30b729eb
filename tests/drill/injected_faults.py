"""The failures that are planted, what must be told of each and by when, and what must not be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dash_app.model.reading import Code
from tests.drill.runner import Drill
from tests.drill.world import GB, Store

Act = Callable[[Drill], None]

LOCKED_AND_FREE: tuple[Code | None, ...] = ("locked", None)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Told:
    """What a person must hear of a failure.

    `names` are the databases that the message names, `cause` stands in it, `within` is how long it
    may take from the failure, and `over_within` how long the word that it is over may take from its
    end. `reminders` is how often it is said again.
    """

    names: tuple[str, ...]
    cause: str
    within: timedelta = 4 * MINUTE
    over_within: timedelta = 10 * MINUTE
    reminders: int = 0


@dataclass(frozen=True)
class Plant:
    """A failure: from when to when, how it comes and goes; `told` is empty where nothing may be."""

    what: str
    begin: datetime
    end: datetime
    told: tuple[Told, ...] = ()
    acts: Sequence[tuple[datetime, Act]] = field(default_factory=tuple)


def _plant(
    what: str,
    begin: datetime,
    lasts: timedelta,
    begins: Act,
    ends: Act,
    *told: Told,
) -> Plant:
    return Plant(what, begin, begin + lasts, told, ((begin, begins), (begin + lasts, ends)))


def _of(name: str, change: Callable[[Store], None]) -> Act:
    return lambda drill: change(drill.world.stores[name])


def _stop(name: str, table: int, by: int = 1) -> Act:
    def stop(store: Store) -> None:
        list(store.tables.values())[table].stopped += by

    return _of(name, stop)


def stopped(
    what: str, when: tuple[datetime, timedelta], where: tuple[str, int], told: Told
) -> Plant:
    """A table of a database, by its number, is not written any more."""
    return _plant(what, *when, _stop(*where), _stop(*where, -1), told)


def unreadable(what: str, when: tuple[datetime, timedelta], code: Code, told: Told) -> Plant:
    """Databases cannot be read, all for the same reason."""
    return _plant(what, *when, _code(told.names, code), _code(told.names, None), told)


def blip(begin: datetime, name: str) -> Plant:
    """One look finds a lock, and the next one does not."""
    names = (name,)
    return _plant("a blip", begin, MINUTE, _code(names, "locked"), _code(names, None))


def storm(begin: datetime, names: Sequence[str]) -> list[Plant]:
    """Many databases fail within minutes, each by itself: more than an hour has room for."""
    return [
        unreadable(
            f"a storm, {name}",
            (begin + number * MINUTE, 2 * HOUR),
            "locked",
            Told((name,), "", within=70 * MINUTE, over_within=70 * MINUTE),
        )
        for number, name in enumerate(names)
    ]


def acknowledged(at: datetime, name: str) -> Plant:
    """Somebody says that they know of what is amiss with a database."""
    return Plant("somebody knows", at, at, (), ((at, lambda drill: drill.acknowledge(name)),))


def _code(names: Sequence[str], code: Code | None) -> Act:
    def change(drill: Drill) -> None:
        for name in names:
            store = drill.world.stores[name]
            if code is None:
                store.come_back(drill.world.wall)
            store.code = code

    return change


def writer_dies(begin: datetime, lasts: timedelta, names: tuple[str, ...]) -> Plant:
    """A process ends that several databases have in common; another takes its place later."""

    def die(drill: Drill) -> None:
        for name in names:
            drill.world.stores[name].is_running = False
            drill.world.stores[name].is_dirty = True

    def come_back(drill: Drill) -> None:
        for name in names:
            store = drill.world.stores[name]
            store.is_running, store.pid, store.began = True, store.pid + 1000, drill.world.wall
            store.is_dirty = True

    told = Told(names, "agent-mail", within=16 * MINUTE, over_within=90 * MINUTE)
    return _plant("a writer dies and takes three databases", begin, lasts, die, come_back, told)


def update_goes_wrong(begin: datetime, lasts: timedelta, name: str) -> Plant:
    """A new version changes the schema and loses rows; then a backup is restored."""
    kept: dict[str, int] = {}

    def lose(store: Store) -> None:
        kept.update({one.name: one.rows for one in store.tables.values()})
        store.columns += 1
        for one in store.tables.values():
            one.rows //= 10
        store.is_dirty = True

    def restore(store: Store) -> None:
        for one in store.tables.values():
            one.rows += kept[one.name]
        store.is_dirty = True

    told = Told((name,), "schema changed")
    return _plant(
        "an update changes the schema and loses rows",
        begin,
        lasts,
        _of(name, lose),
        _of(name, restore),
        told,
    )


def rows_deleted(begin: datetime, lasts: timedelta, name: str) -> Plant:
    """Somebody deletes nearly all rows, and puts them back."""
    kept: dict[str, int] = {}

    def delete(store: Store) -> None:
        kept.update({one.name: one.rows for one in store.tables.values()})
        for one in store.tables.values():
            one.rows = 5
        store.is_dirty = True

    def put_back(store: Store) -> None:
        for one in store.tables.values():
            one.rows += kept[one.name]
        store.is_dirty = True

    told = Told((name,), "rows")
    return _plant("rows are deleted", begin, lasts, _of(name, delete), _of(name, put_back), told)


def disk_low(begin: datetime, lasts: timedelta) -> Plant:
    """The disk under all databases has little room."""

    def fill(free_bytes: int) -> Act:
        def change(drill: Drill) -> None:
            for store in drill.world.stores.values():
                store.free_bytes, store.is_dirty = free_bytes, True

        return change

    told = Told(("db00",), "disk")
    return _plant("the disk is low", begin, lasts, fill(GB // 5), fill(100 * GB), told)


def log_large(begin: datetime, lasts: timedelta, name: str) -> Plant:
    def grow(store: Store, wal_bytes: int) -> None:
        store.wal_bytes, store.is_dirty = wal_bytes, True

    told = Told((name,), "WAL")
    return _plant(
        "a log is large",
        begin,
        lasts,
        _of(name, lambda store: grow(store, 2 * GB)),
        _of(name, lambda store: grow(store, GB // 100)),
        told,
    )


def flapping(begin: datetime, times: int, name: str) -> Plant:
    """A database is locked for two minutes of every three: told once, as is its end."""

    acts = [
        (begin + 3 * number * MINUTE + (0 if code else 2) * MINUTE, _code((name,), code))
        for number in range(times)
        for code in LOCKED_AND_FREE
    ]
    return Plant("flapping", begin, acts[-1][0], (Told((name,), "lock"),), acts)


def service_down(begin: datetime, lasts: timedelta, what: str = "the service is down") -> Plant:
    return _plant(what, begin, lasts, lambda drill: drill.stop(), lambda drill: drill.start())


def service_killed(at: datetime, lasts: timedelta) -> Plant:
    """The service ends without a word, as when memory is short, and is started again."""
    return _plant(
        "the service is killed", at, lasts, lambda drill: drill.kill(), lambda drill: drill.start()
    )


def host_asleep(begin: datetime, lasts: timedelta) -> Plant:
    def sleep(drill: Drill, *, is_asleep: bool) -> None:
        drill.world.is_asleep = drill.is_held = is_asleep

    return _plant(
        "the host sleeps",
        begin,
        lasts,
        lambda drill: sleep(drill, is_asleep=True),
        lambda drill: sleep(drill, is_asleep=False),
    )


def clock_off(begin: datetime, lasts: timedelta, by: timedelta) -> Plant:
    def set_clock(drill: Drill, off: timedelta) -> None:
        drill.world.clock_is_off = off

    return _plant(
        f"the clock is set {'back' if by < timedelta(0) else 'forward'}",
        begin,
        lasts,
        lambda drill: set_clock(drill, by),
        lambda drill: set_clock(drill, timedelta(0)),
    )


def receiver_down(begin: datetime, lasts: timedelta) -> Plant:
    def set_receiver(drill: Drill, *, answers: bool) -> None:
        drill.receiver_answers = answers

    return _plant(
        "the alerts' receiver is down",
        begin,
        lasts,
        lambda drill: set_receiver(drill, answers=False),
        lambda drill: set_receiver(drill, answers=True),
    )


def replaced(begin: datetime, lasts: timedelta, name: str) -> Plant:
    """Another file takes the place of a database, until the former one is put back."""

    def put(inode: int) -> Act:
        def change(store: Store) -> None:
            store.inode, store.is_dirty = inode, True

        return _of(name, change)

    told = Told((name,), "replaced")
    return _plant("a file is replaced", begin, lasts, put(101), put(100), told)


def rolled_back(begin: datetime, lasts: timedelta, name: str) -> Plant:
    """An older copy is written over a database, until a person says that this was meant."""

    def restore(store: Store) -> None:
        store.changes //= 2
        for one in store.tables.values():
            one.rows -= one.rows // 10
        assert store.written_at is not None
        store.written_at -= HOUR
        store.is_dirty = True

    told = Told((name,), "older")
    return _plant(
        "an older copy is restored",
        begin,
        lasts,
        _of(name, restore),
        lambda drill: drill.see(name),
        told,
    )
