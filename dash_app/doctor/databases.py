"""What is wrong with the databases, found by one reading of each in the airlock."""

import os
import shlex
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dash_app.airlock.airlock import Airlock
from dash_app.doctor import rescue
from dash_app.doctor.check import Check
from dash_app.model.database import Database
from dash_app.model.host_facts import Access
from dash_app.model.problem import Level
from dash_app.model.reading import ABSENCES, Reading, has_reset_bug
from dash_app.settings import Settings
from dash_app.system.processes import IS_CONTAINER, sees_all_processes
from dash_app.system.users import user_name
from dash_app.words import numbers, summaries
from dash_app.words.errors import MOUNT_FOLDER, WordingContext, explain_error
from dash_app.words.problems import MOUNTED_ALONE, REMEDIES, plain, unknown_table

WAITS = 3
"""Number of deadlines to wait: a database that hangs is read once more, separately."""


def examine(settings: Settings, place: WordingContext) -> Iterator[Check]:
    """Yield the checks of each database, and of the reader."""
    if not settings.databases:
        return  # and there is no reader: the files of a pattern are yet to come
    readings, guards = read(settings)
    dangers = rescue.find_dangers(settings.history.path)
    open_files = rescue.list_open_files()
    without_wal: list[Database] = []
    yield from conflicts_unknown(settings.databases, readings)
    for database in () if _is_first(settings, readings) else settings.databases:
        reading = readings.get(database.name)
        if reading is None:
            text, cure = f"{database.label}: no answer.", "Its disk or mount may hang. See `dmesg`."
            yield Check("unknown", "not_responding", text, cure)
            continue
        content, known = _content(database, reading, place), dangers.get(database.name)
        host, is_hanging = reading.surroundings, reading.code == "not_responding"
        danger = not is_hanging and rescue.examine(database, host, known, open_files)
        if danger:
            # Any other fix could complete the loss.
            yield from (replace(content, cure=""), danger)
            continue
        yield content
        if host.access:
            yield from _owners(database, host.access, place)
        if reading.code is None:
            yield from _rules(database, reading)
            if reading.journal_mode != "wal":
                without_wal.append(database)
            yield from _writers(database, reading)
            yield from _mount(database, reading)
    yield from _journals(without_wal)
    versions = list(_versions(settings, readings))
    yield from versions
    yield from _reader(guards, bug_fix="" if versions else summaries.RESET_BUG_FIX)


def _is_first(settings: Settings, readings: Mapping[str, Reading]) -> bool:
    """Whether there is no configuration, which a check says, and none of the default databases."""
    codes = [reading.code for reading in readings.values() if reading.code in ABSENCES]
    return not settings.names_databases and len(codes) == len(settings.databases)


def conflicts_unknown(
    databases: Iterable[Database], readings: Mapping[str, Reading]
) -> Iterator[Check]:
    """Yield, for each reason, the databases that may be destroyed without being noticed."""
    reasons: dict[str, list[str]] = {}
    for database in databases:
        reading = readings.get(database.name)
        if reading and (reason := reading.surroundings.conflicts_unknown):
            reasons.setdefault(reason, []).append(database.label)
    for reason, labels in reasons.items():
        names = numbers.join_names(labels)
        text = f"Cannot tell whether programs are destroying {names}: {reason}."
        cure = "" if sees_all_processes() else "Start the container with `pid: host`."
        yield Check("notice", "conflicts_unknown", text, cure)


def read(settings: Settings) -> tuple[Mapping[str, Reading], tuple[str, ...]]:
    """Return a reading of each database, and what denies writes to the reader."""
    with closing(Airlock.from_settings(settings)) as airlock:
        wait_seconds = WAITS * settings.sampler.deadline.total_seconds()
        airlock.read(wait_seconds)
        readings = airlock.read(wait_seconds)  # conflicts are certain at the second reading
        return readings, airlock.guards or ()


def _content(database: Database, reading: Reading, place: WordingContext) -> Check:
    if reading.code is None:
        return Check("well", "readable", f"{database.label}: {summaries.verdict(reading)}")
    cause, remedy = explain_error(reading.code, reading.detail, database, None, place)
    access = reading.surroundings.access
    if reading.code == "permission_denied" and access and access.blocked_by:
        return _closed(database, access, access.blocked_by, place.user)
    level: Level = "notice" if reading.code in ABSENCES else "fault"
    level = "unknown" if reading.is_undecided else level
    return Check(level, reading.code, f"{database.label}: {plain(cause)}", remedy)


def _closed(database: Database, access: Access, closed: str, user: str) -> Check:
    kind, right, code = "", "r", "permission_denied"
    if access.blocked_by_folder:
        kind, right, code = "folder ", "x", "folder_closed"
    install = "" if shutil.which("setfacl") else "sudo apt-get install --yes acl && "
    cure = f"{install}sudo setfacl -m u:{user}:{right} {shlex.quote(closed)}"
    text = f"{database.label}: user {user} may not read {kind}{numbers.short_path(Path(closed))}."
    return Check("fault", code, text, cure)


def _owners(database: Database, access: Access, place: WordingContext) -> Iterator[Check]:
    path = shlex.quote(access.path)
    owner = access.owners.get("")
    if owner is None:
        return
    if owner != os.geteuid() and os.geteuid() != 0:
        text = f"{database.label} belongs to {user_name(owner)}, not to {place.user}."
        yield Check("notice", "database_owner", text, f"sudo chown {place.user}: {path}")
    for side, uid in access.owners.items():
        if uid != owner:
            whose, right = user_name(uid), user_name(owner)
            text = f"{database.label}: its {side} belongs to {whose}, the database to {right}."
            yield Check("fault", "side_file_owner", text, f"sudo chown {right}: {path}{side}")


def _rules(database: Database, reading: Reading) -> Iterator[Check]:
    """Yield rules for tables that do not exist."""
    tables = tuple(sorted(reading.tables))
    for table in database.rules.tables:
        if table not in reading.tables:
            text = f"{database.label}: {plain(unknown_table(table, tables))}"
            yield Check("notice", "no_such_table", text, REMEDIES["no_such_table"])


def _writers(database: Database, reading: Reading) -> Iterator[Check]:
    """Yield that programs write the database with another engine."""
    if reading.journal_mode == "wal" and reading.surroundings.is_foreign:
        text = f"{database.label} is open in an engine other than SQLite, such as Turso."
        yield Check("well", "foreign_engine", text)


def _journals(found: Sequence[Database]) -> Iterator[Check]:
    """Yield the databases that are not in WAL mode, in one check."""
    if found:
        names = numbers.join_names([database.label for database in found])
        text = f"Not in WAL mode, so that writers and readers wait for each other: {names}."
        path = shlex.quote(str(found[0].path)) if len(found) == 1 else "FILE"
        cure = f"If its program allows it: sqlite3 {path} 'PRAGMA journal_mode = WAL'"
        yield Check("notice", "not_wal", text, cure)


def _mount(database: Database, reading: Reading) -> Iterator[Check]:
    """Yield a notice if the file is mounted without its folder."""
    access = reading.surroundings.access
    if access and access.is_mounted_alone:
        text = f"{database.label}: {MOUNTED_ALONE}"
        yield Check("notice", "mounted_alone", text, MOUNT_FOLDER)


def _versions(settings: Settings, readings: Mapping[str, Reading]) -> Iterator[Check]:
    """Yield the databases that an SQLite with the WAL-reset bug wrote, in one check."""
    found = [
        f"{database.label} ({version})"
        for database in settings.databases
        if (reading := readings.get(database.name)) and (version := reading.buggy_version)
    ]
    if found:
        names = numbers.join_names(found)
        text = f"Last written by an SQLite with the WAL-reset bug: {names}. {summaries.RESET_BUG}"
        cure = f"Update the SQLite of their programs. {summaries.RESET_BUG_FIX}"
        yield Check("notice", "old_sqlite", text, cure)


def _reader(guards: tuple[str, ...], bug_fix: str = summaries.RESET_BUG_FIX) -> Iterator[Check]:
    if guards:
        text = f"The kernel denies every write of the reader ({' and '.join(guards)})."
        yield Check("well", "guarded", text)
    else:
        text = "The reader opens files read-only, but the kernel does not enforce it."
        cure = "Linux 5.13 or later with Landlock denies its writes."
        if IS_CONTAINER:
            cure = "Let the container's seccomp profile allow Landlock and seccomp."
        yield Check("notice", "not_guarded", text, cure)
    text = f"SQLite {sqlite3.sqlite_version} reads the databases"
    major, minor, patch = sqlite3.sqlite_version_info
    if has_reset_bug(major * 1_000_000 + minor * 1_000 + patch):
        text = f"{text}; its WAL-reset bug affects writers only, here only our own history."
        yield Check("notice", "own_sqlite_old", text, bug_fix)
    else:
        yield Check("well", "own_sqlite", f"{text}.")
