"""Finds what is wrong with configuration, paths, permissions and port, and says how to mend it."""

from __future__ import annotations

import os
import sqlite3
import stat
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from dash_app import network, words
from dash_app.model import ABSENCES
from dash_app.network import PortTakenError
from dash_app.watched.airlock import Airlock
from dash_app.watched.process import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dash_app.model import Database, Reading
    from dash_app.settings import Settings
    from dash_app.words import Place


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: whether it is well, what was found, and the cure."""

    well: bool
    text: str
    cure: str = ""


def examine(settings: Settings, place: Place) -> Iterator[Finding]:
    """Yield what was found, in the order in which a person would mend it."""
    yield _configuration(settings)
    yield from _databases(settings, place)
    yield from _network(settings)
    yield _history(settings.history.path)


def _configuration(settings: Settings) -> Finding:
    shown = words.short_path(settings.source)
    if settings.source.is_file():
        return Finding(well=True, text=f"Configuration {shown} is valid.")
    cure = "./ops/run discover FOLDER --save"
    return Finding(True, f"No configuration at {shown}: the usual five are watched.", cure)


def _databases(settings: Settings, place: Place) -> Iterator[Finding]:
    sampler = settings.sampler
    deadline_seconds = sampler.deadline.total_seconds()
    airlock = Airlock(
        settings.databases, Limits(deadline_seconds, sampler.table_budget.total_seconds())
    )
    readings = airlock.read(3 * deadline_seconds)
    guarded = airlock.guarded
    airlock.close()
    for database in settings.databases:
        yield _database(database, readings.get(database.name), place)
    if guarded:
        yield Finding(True, "The kernel refuses every write of our reader (Landlock).")
    else:
        cure = "A kernel from 5.13 on with Landlock would refuse them."
        yield Finding(
            True, "Our reader opens files read-only; the kernel does not enforce it.", cure
        )
    yield Finding(True, f"SQLite {sqlite3.sqlite_version} reads the databases.")


def _database(database: Database, reading: Reading | None, place: Place) -> Finding:
    if reading is None:
        return Finding(False, f"{database.label}: no answer.", "Its disk or mount may hang.")
    if reading.code is None:
        return Finding(True, f"{database.label}: {words.verdict(reading, None)}")
    fault = words.fault(reading.code, reading.detail, database, None, place)
    cure = (
        _grant(database.path, place.user) if reading.code == "permission_denied" else fault.remedy
    )
    return Finding(reading.code in ABSENCES, f"{database.label}: {fault.message}", cure)


def _grant(path: Path, user: str) -> str:
    """Return the command that opens the first thing on a file's path that shuts a user out."""
    for folder in reversed(path.parents):
        if not os.access(folder, os.X_OK):
            return f"sudo setfacl -m u:{user}:x {folder}"
    return f"sudo setfacl -m u:{user}:r {path}"


def _network(settings: Settings) -> Iterator[Finding]:
    server = settings.server
    for address in network.addresses_to_bind(server.addresses):
        try:
            network.listen(address, server.port).close()
            yield Finding(True, f"Port {server.port} on {address} is free.")
        except PortTakenError as error:
            if _is_mission_control(str(address), server.port):
                yield Finding(
                    True, f"Mission Control is served at {network.link(address, server.port)}"
                )
            else:
                yield Finding(False, str(error))
        except OSError as error:
            yield Finding(False, f"{address} cannot be served: {error.strerror}.")
    if "tailscale" in server.addresses and not network.tailscale_addresses():
        yield Finding(True, "No Tailscale address now.", "sudo tailscale up")


def _is_mission_control(host: str, port: int) -> bool:
    """Whether what listens there answers as we do."""
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().read() in {b"ok\n", b"not reading\n"}
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _history(path: Path) -> Finding:
    folder = next(parent for parent in path.parents if parent.exists())
    if os.access(folder, os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK)):
        return Finding(True, f"History {words.short_path(path)} can be written.")
    owner = folder.stat()
    mode = stat.filemode(owner.st_mode)
    text = f"History {words.short_path(path)} cannot be written: {folder} is {mode}."
    return Finding(False, text, f"sudo chown $USER {folder}")
