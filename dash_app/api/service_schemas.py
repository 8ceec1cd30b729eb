"""The JSON document of the self-check as types; see `schemas`."""

from typing import Literal

from typing_extensions import TypedDict

from dash_app.api.schemas import Bytes, Count, Disk, Time


class Memory(TypedDict):
    """Proportional set sizes."""

    serviceBytes: Bytes | None
    readerBytes: list[Bytes | None]


class Ticks(TypedDict):
    """Rounds of reading all databases."""

    done: Count
    missed: Count
    """Skipped because the previous round took too long."""


class Promise(TypedDict):
    """A promise to the programs that write the databases."""

    name: str
    measured: int
    """For `bytesWritten`: what the processes that open databases passed to write(2), except their
    answers to the service. Access times and the service's own history do not count."""
    most: int
    """The maximum value at which the promise is kept."""
    kept: bool


class Refusal(TypedDict):
    """A client, host or user that was refused since the service started."""

    kind: Literal["client", "host", "user", "token"]
    name: str
    address: str
    """The server's address to which the request came."""
    count: Count
    lastAt: Time


class ConflictsUnknown(TypedDict):
    """A database of which it cannot be told whether programs are destroying it, and why."""

    database: str
    reason: str


class ServiceDocument(TypedDict):
    """The self-check of the service."""

    level: Literal["well", "fault"]
    version: str
    startedAt: Time
    uptimeSeconds: Count
    memory: Memory
    ticks: Ticks
    guards: list[str]
    """What keeps the service from writing to a database."""
    conflictsUnknown: list[ConflictsUnknown]
    sidecarsLeft: Count
    """WAL files left behind because their last writer closed during a reading."""
    historyDisk: Disk | None
    historyProblem: str | None
    """Why the history is paused or had to start again; null if neither."""
    refused: list[Refusal]
    """The newest 50 of each kind, newest first."""
    promises: list[Promise]
