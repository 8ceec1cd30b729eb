"""The contract's JSON documents as types: what the views build and what OpenAPI describes.

The service needs them for no answer, so it loads neither this module nor its descriptions. What
stands below a field describes it in `openapi.json`. Names are those of the JSON.
"""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from dash_app.api.schemas_common import Time, open_text
from dash_app.api.schemas_expected import Watch
from dash_app.history.series import Metric
from dash_app.model.event import EventKind, Facts
from dash_app.model.host_facts import Use
from dash_app.model.level import Level
from dash_app.model.problem import FindingKind
from dash_app.model.reading import Code, WaitReason
from dash_app.model.snapshot import Status

Bytes = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
ErrorCode = Literal[
    "bad_parameter",
    "bad_request",
    "host_not_allowed",
    "token_not_allowed",
    "client_not_allowed",
    "user_not_allowed",
    "not_found",
    "method_not_allowed",
    "internal_server_error",
    "no_reading_yet",
    "history_unavailable",
    "busy",
    "too_large",
]


class Fault(TypedDict):
    """Why a database is not connected."""

    code: Annotated[Code, open_text(Code, "The cause, for programs.")]
    message: str
    """The cause, for people."""
    remedy: str
    """One thing to do."""


class Finding(TypedDict):
    """A rule that does not hold now, also where the database can be read."""

    kind: Annotated[FindingKind, open_text(FindingKind, "What is amiss.")]
    level: Level
    since: Time
    text: str
    """What is amiss, in a sentence."""
    remedy: str
    """One thing to do."""
    table: str | None
    """The table that it concerns; null for the whole database."""


class LastGood(TypedDict):
    """The last reading with tables, of a database in error."""

    readAt: Time
    totalRows: Count


class Change(TypedDict):
    """How many rows more there are than at some time."""

    rows: int
    since: Time
    """A day ago, or when watching began."""


class Estimate(TypedDict):
    """Why a count is not exact."""

    kind: Literal["about", "at_most"]
    """`about`: the last exact count and what came since. `at_most`: never counted, in no total."""
    countedAt: Time
    """When the count was made that it rests on."""


class WaitingFor(TypedDict):
    """Writers that leave no moment for a reading. After 60 s of a lock the error is `locked`."""

    reason: Annotated[WaitReason, open_text(WaitReason, "A lock, or writes without pause.")]
    holder: str | None
    """The process that holds a lock, as in `node (pid 812)`; null if it is not known."""


class Database(TypedDict):
    """One database, as everything shows it."""

    name: str
    label: str
    path: str
    status: Status
    """`not_initialized`: never yet read with tables, which is calm."""
    since: Time
    """Since when it has been in this status for this cause."""
    level: Level
    """How much it needs a person; `unknown` if its reading is too old, or nothing can be told."""
    verdict: str
    """One sentence on it."""
    error: Fault | None
    findings: list[Finding]
    """What is amiss besides, worst first."""
    watch: Watch | None
    """How it stands to what is expected of it; null where nothing is."""
    lastGood: LastGood | None
    rowCounts: dict[str, int | None]
    """Rows by table; null where the count is not to be had, with the reason in `tableErrors`."""
    totalRows: Count | None
    """Sum of the rows that are known; null if none are: without a reading, or not counted yet."""
    totalComplete: bool
    """Whether every table's rows are known."""
    change: Change | None
    estimates: dict[str, Estimate]
    """The tables whose count is not exact."""
    tableErrors: dict[str, str]
    """Why a table cannot be counted, such as `needs the vec0 module`."""
    lastModified: Time | None
    """The last write of content, as far as can be seen: checkpoints, `ANALYZE`, `VACUUM` and
    Litestream's own tables do not count."""
    sizeBytes: Bytes | None
    walBytes: Bytes | None
    """The write-ahead log; 0 where there is none."""
    journalMode: str | None
    """`wal`, or `delete` for any rollback journal."""
    readAt: Time
    """When the file was last opened."""
    verifiedAt: Time
    """When the file was last seen unchanged since."""
    waitingFor: WaitingFor | None
    """What keeps the reading from being renewed; null if nothing does."""


class StatusDocument(TypedDict):
    """Every database, in configured order."""

    takenAt: Time
    """When all this was put together."""
    connected: Count
    """How many databases can be read."""
    total: Count
    level: Level
    """The worst level of any database."""
    headline: str
    databases: list[Database]


class Holder(TypedDict):
    """A process that has the database open, known by its locks."""

    pid: int
    command: str
    uses: list[Annotated[Use, open_text(Use, "What it does with the database.")]]
    since: Time
    """When it was first seen."""
    holdsLogBackSince: Time | None
    """Since when at least the log cannot be checkpointed past what it reads."""


class Disk(TypedDict):
    """A file system."""

    freeBytes: Bytes
    """What an ordinary user may still write."""
    totalBytes: Bytes


class Event(TypedDict):
    """A change worth remembering."""

    id: int | None
    at: Time
    database: str
    kind: Annotated[EventKind, open_text(EventKind, "What happened.")]
    text: str
    """What happened, in words."""
    before: Facts
    """What differed, as it was: `rows` by table, `objects` of the schema, `counters` and others."""
    after: Facts
    """The same, as it was then."""
    endedAt: Time | None
    """When what it left amiss was undone, or marked as seen."""


class DatabaseDocument(Database):
    """All that is known of one database."""

    walBacklogBytes: Bytes | None
    """The part of the log that is not yet checkpointed."""
    holders: list[Holder] | None
    """Who has it open; null where that cannot be told."""
    foreignEngine: bool
    """Whether an engine that is not SQLite's own, such as Turso, has it open, as its locks show."""
    disk: Disk | None
    schema: dict[str, str] | None
    """Definitions by `table NAME`, `column TABLE.NAME` and the like."""
    userVersion: int | None
    applicationId: int | None
    changeCounter: int | None
    freelistBytes: Bytes | None
    """What the file holds and does not use."""
    events: list[Event]
    """Its newest events, newest first."""


class EventsDocument(TypedDict):
    """Events, newest first; with `since` oldest first."""

    events: list[Event]
    next: str | None
    """Where to go on: the `before` of older events, null when there are none; of an answer to
    `since`, the `since` to ask with next, always."""


class Series(TypedDict):
    """One number over time."""

    database: str
    table: str | None
    """Null for what belongs to a whole database."""
    metric: Metric
    unit: str
    points: list[tuple[Time, int | None]]
    """Time and value, oldest first; null while nobody watched or the count was unknown, never
    interpolated. A table that is no longer there has 0 rows."""
    ranges: list[tuple[int, int] | None]
    """For each point the least and greatest value since the one before it, where it moved."""


class HistoryDocument(TypedDict):
    """A series a table; one a database where the metric is a whole database's."""

    series: list[Series]


class Memory(TypedDict):
    """Proportional set sizes."""

    serviceBytes: Bytes | None
    readerBytes: list[Bytes | None]


class Ticks(TypedDict):
    """Rounds of looking at the databases."""

    done: Count
    missed: Count
    """Left out because the round before took too long."""


class Promise(TypedDict):
    """A promise to those who write the databases, and whether it is kept."""

    name: str
    measured: int
    """`bytesWritten`: what the processes that open databases passed to write(2) besides their
    answers to us; neither access times nor our own history count."""
    most: int
    """The greatest value at which it is kept."""
    kept: bool


class Refusal(TypedDict):
    """A client, a host, a user or a client without the token that was refused since the start."""

    kind: Literal["client", "host", "user", "token"]
    name: str
    address: str
    """The address of ours that was asked."""
    count: Count
    lastAt: Time


class ServiceDocument(TypedDict):
    """The self-check."""

    level: Literal["well", "fault"]
    version: str
    startedAt: Time
    uptimeSeconds: Count
    memory: Memory
    ticks: Ticks
    guards: list[str]
    """What denies us every write."""
    sidecarsLeft: Count
    """Write-ahead logs that stayed because their last writer closed while we read."""
    historyDisk: Disk | None
    historyProblem: str | None
    """Why our own record stands still or had to begin again; null if neither."""
    refused: list[Refusal]
    """The newest 50 of each kind, newest first."""
    promises: list[Promise]


class Error(TypedDict):
    """What went wrong with a request."""

    code: Annotated[ErrorCode, open_text(ErrorCode, "The cause, for programs.")]
    message: str
    """The cause, for people: a parameter by its name, with what is allowed."""


class ErrorDocument(TypedDict):
    """Every answer under `/api` that is not 200, 204 or 304."""

    error: Error
