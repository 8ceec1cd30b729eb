"""Finds what is wrong with configuration, paths, permissions and port, and says how to mend it."""

from __future__ import annotations

import os
import shutil
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
class Check:
    """One thing that was checked: whether it is well, what was found, and the cure."""

    well: bool
    text: str
    cure: str = ""


def examine(settings: Settings, place: Place) -> Iterator[Check]:
    """Yield what was found, in the order in which a person would mend it."""
    yield _configuration(settings)
    yield from _databases(settings, place)
    yield from _network(settings)
    yield _history(settings.history.path)


def _configuration(settings: Settings) -> Check:
    shown = words.short_path(settings.source)
    if settings.source.is_file():
        return Check(well=True, text=f"Configuration {shown} is valid.")
    cure = "./ops/run discover FOLDER --save"
    return Check(True, f"No configuration at {shown}: the usual five are watched.", cure)


def _databases(settings: Settings, place: Place) -> Iterator[Check]:
    sampler = settings.sampler
    deadline_seconds = sampler.deadline.total_seconds()
    airlock = Airlock(
        settings.databases, Limits(deadline_seconds, sampler.table_budget.total_seconds())
    )
    readings = airlock.read(3 * deadline_seconds)
    guards = " and ".join(airlock.guards or ())
    airlock.close()
    for database in settings.databases:
        yield _database(database, readings.get(database.name), place)
    if guards:
        yield Check(True, f"The kernel refuses every write of our reader ({guards}).")
    else:
        cure = "A kernel from 5.13 on with Landlock would refuse them."
        yield Check(True, "Our reader opens files read-only; the kernel does not enforce it.", cure)
    yield Check(True, f"SQLite {sqlite3.sqlite_version} reads the databases.")


def _database(database: Database, reading: Reading | None, place: Place) -> Check:
    if reading is None:
        return Check(False, f"{database.label}: no answer.", "Its disk or mount may hang.")
    if reading.code is None:
        return Check(True, f"{database.label}: {words.verdict(reading, None)}")
    fault = words.fault(reading.code, reading.detail, database, None, place)
    cure = (
        _grant(database.path, place.user) if reading.code == "permission_denied" else fault.remedy
    )
    return Check(reading.code in ABSENCES, f"{database.label}: {fault.message}", cure)


def _grant(path: Path, user: str) -> str:
    """Return the command that opens the first thing on a file's path that shuts a user out."""
    for folder in reversed(path.parents):
        if not os.access(folder, os.X_OK):
            return f"sudo setfacl -m u:{user}:x {folder}"
    return f"sudo setfacl -m u:{user}:r {path}"


def _network(settings: Settings) -> Iterator[Check]:
    server = settings.server
    for address in network.addresses_to_bind(server.addresses):
        try:
            network.listen(address, server.port).close()
            yield Check(True, f"Port {server.port} on {address} is free.")
        except PortTakenError as error:
            if _is_mission_control(str(address), server.port):
                yield Check(
                    True, f"Mission Control is served at {network.link(address, server.port)}"
                )
            else:
                yield Check(False, str(error))
        except OSError as error:
            yield Check(False, f"{address} cannot be served: {error.strerror}.")
    if "tailscale" in server.addresses and not network.tailscale_addresses():
        cure = "sudo tailscale up" if shutil.which("tailscale") else ""
        yield Check(True, "No Tailscale address now: loopback alone is served.", cure)


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


def _history(path: Path) -> Check:
    folder = next(parent for parent in path.parents if parent.exists())
    if os.access(folder, os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK)):
        return Check(True, f"History {words.short_path(path)} can be written.")
    owner = folder.stat()
    mode = stat.filemode(owner.st_mode)
    text = f"History {words.short_path(path)} cannot be written: {folder} is {mode}."
    return Check(False, text, f"sudo chown $USER {folder}")
