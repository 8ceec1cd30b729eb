"""The JSON documents as types, with their descriptions for `openapi.json`.

`serializers` builds these documents and `openapi` describes them. The running service loads neither
the types nor their descriptions. A class or field is named as in the contract; the text below a
field is its description.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from dash_app.history.series import MEASURE, Metric
from dash_app.model.event import EventKind, Facts
from dash_app.model.expectation import State
from dash_app.model.host_facts import Use
from dash_app.model.integrity import IntegrityState
from dash_app.model.problem import FindingKind, Level
from dash_app.model.reading import Code, WaitReason
from dash_app.model.snapshot import Status


def open_text(known: object, description: str) -> WithJsonSchema:
    """Describe a string with known values, to which later versions may add."""
    return WithJsonSchema(
        {
            "description": f"{description} Later versions may add values.",
            "anyOf": [{"enum": list(get_args(known))}, {"type": "string"}],
        }
    )


Time = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-23T15:00:05.120Z"]}
    ),
]
Bytes = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
AnyState = Annotated[State, open_text(State, "How writes compare with the expectation.")]
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
    """A problem of a database, whether it can be read or not."""

    kind: Annotated[str, open_text(FindingKind, "The problem, for programs.")]
    level: Level
    since: Time
    text: str
    """The problem in one sentence."""
    remedy: str
    """One thing to do."""
    table: str | None
    """The table that has the problem; null if it is the whole database."""
    measure: str | None
    """The name of the measure concerned; null if there is none."""


class Standing(TypedDict):
    """How the writes to a file or table compare with its expectation."""

    state: AnyState
    everySeconds: Seconds
    """The longest acceptable time between writes: of a file, any write; of a table, new rows."""
    graceSeconds: Seconds
    """How much longer it is late before it is down."""
    lastAt: Time | None
    """The last write seen; null if none was."""
    dueAt: Time | None
    """When the next write is, or was, due; null while paused, and before the first reading."""


class Watch(TypedDict):
    """How a database and its tables compare with their expectations."""

    state: AnyState
    """The worst state of the file and the tables."""
    paused: bool
    """Whether problems of this database are not reported; its level is `well` then."""
    dueAt: Time | None
    """The earliest `dueAt` of the file and the tables."""
    file: Standing | None
    """Null if the file has no expectation."""
    tables: dict[str, Standing]
    """The tables that have an expectation, by name."""


class LastGood(TypedDict):
    """The last reading that found tables, if the database is in error now."""

    readAt: Time
    totalRows: Count


class Change(TypedDict):
    """How much the number of rows changed."""

    rows: int
    since: Time
    """24 hours ago, or when the database was first watched."""


class Estimate(TypedDict):
    """Why a row count is not exact."""

    kind: Literal["about", "at_most"]
    """`about`: the last exact count, adjusted by the rowids written since. `at_most`: an upper
    bound for a table that was never counted; it is in no total."""
    countedAt: Time
    """When the count was made on which the estimate is based."""


class WaitingFor(TypedDict):
    """Writers that prevent a new reading. After 60 s of a lock, the error is `locked`."""

    reason: Annotated[WaitReason, open_text(WaitReason, "A lock, or writes without pause.")]
    holder: str | None
    """The process that holds the lock, such as `node (pid 812)`; null if it is not known."""


class Acknowledgement(TypedDict):
    """A person has seen an incident: no notifications about it are sent."""

    by: str
    """The person as reported by `tailscale serve`, otherwise the client's address."""
    at: Time
    until: Time | None
    """Null if it lasts as long as the incident."""


class Damage(TypedDict):
    """Damaged pages that no later check of their table has refuted."""

    table: str
    """The table, or the table of a damaged index; empty for pages of no table."""
    pages: Annotated[int, Field(ge=1)]
    """The number of damaged pages found. There may be more."""
    foundAt: Time


class Integrity(TypedDict):
    """What the page check found. It compares structure and indexes, not the content of values."""

    state: Annotated[
        IntegrityState,
        open_text(
            IntegrityState,
            "`clean`: no damage found. `checking`: not all of it was checked yet. `damaged`: see"
            " `damage`. `unchecked`: see `reason`.",
        ),
    ]
    checkedAt: Time | None
    """When the last check of all tables ended; null if none has."""
    checkedShare: Share
    """The checked share of the present check's pages; 1 after its end."""
    reason: str | None
    """Why it is not checked; null if it is."""
    damage: list[Damage]
    """The greatest first."""


class MeasureValue(TypedDict):
    """A value of a measure that has one for each label."""

    label: str
    """At most 60 characters. The values beyond twelve are one with the label `others`: their sum,
    or the greatest age."""
    value: float | None


class MeasureLimits(TypedDict):
    """The limits that each value of a measure must keep; null if there is no such limit."""

    min: float | None
    max: float | None
    equals: float | None


class Measure(TypedDict):
    """A number, or one for each label, that the configuration has the database asked for."""

    name: str
    label: str
    unit: str | None
    """`bytes`, `s`, `ms`, `%`, `age` or any other text; null for a plain number. An age is in
    seconds, at `takenAt`, or at `measuredAt` if the file has changed since."""
    value: float | None
    """Its number; null if that is unknown, or if it has `values`."""
    values: list[MeasureValue]
    """Its numbers by label; empty if it has one number."""
    measuredAt: Time | None
    """When the values were true; they still are if the file has not changed. Null if there are
    none yet."""
    old: bool
    """Whether there are values that could not be renewed in time: others may hold by now."""
    level: Level
    """`fault` or `notice`, as configured, of a value outside its limits; otherwise `notice` with an
    `error`, and `unknown` without a value."""
    error: str | None
    """Why the values could not be renewed, for people; null if they could."""
    limits: MeasureLimits | None
    """Null if no value is wrong."""
    pinned: bool
    """Whether it is on the card of its database."""


class Database(TypedDict):
    """A database with its newest reading and its problems."""

    name: str
    label: str
    path: str
    status: Status
    """`not_initialized`: no tables were ever read, which is not a problem."""
    since: Time
    """When the present status and its cause began."""
    level: Level
    """How much it needs a person; `unknown` if the reading is too old or does not show it."""
    verdict: str
    """The state of the database in one sentence."""
    error: Fault | None
    findings: list[Finding]
    """Its problems, worst first."""
    integrity: Integrity | None
    """Null until something is known."""
    measures: list[Measure]
    """In configured order."""
    acknowledged: Acknowledgement | None
    """Who acknowledged all of its problems, so that it needs nobody; null if nobody did."""
    watch: Watch | None
    """How the database compares with its expectations; null if it has none."""
    lastGood: LastGood | None
    rowCounts: dict[str, int | None]
    """Rows by table; null if they cannot be counted. `tableErrors` has the reason."""
    totalRows: Count | None
    """The sum of the known row counts; null if none is known."""
    totalComplete: bool
    """Whether the row count of every table is known."""
    change: Change | None
    estimates: dict[str, Estimate]
    """The tables whose row count is not exact."""
    tableErrors: dict[str, str]
    """Why a table cannot be counted, such as `needs the vec0 module`."""
    lastModified: Time | None
    """The last write of content. Checkpoints, `ANALYZE`, `VACUUM` and Litestream's own tables do
    not count if they can be recognized."""
    sizeBytes: Bytes | None
    walBytes: Bytes | None
    """The size of the WAL; 0 if there is none."""
    journalMode: str | None
    """`wal`, or `delete` for any rollback journal."""
    readAt: Time
    """When the file was last opened."""
    verifiedAt: Time
    """When the file was last found unchanged since `readAt`."""
    waitingFor: WaitingFor | None
    """What prevents a new reading; null if nothing does."""


class Pattern(TypedDict):
    """A configured pattern. Each file that it matches is a database of its own."""

    name: str
    """What the names of its databases begin with."""
    path: str
    watched: Count
    """Number of its databases."""
    unwatched: Count | None
    """Number of files that match too, but are beyond the maximum; null if the pattern could not be
    searched."""


class StatusDocument(TypedDict):
    """All databases, in configured order."""

    takenAt: Time
    """When this snapshot was taken."""
    connected: Count
    """Number of databases that can be read."""
    total: Count
    level: Level
    """The worst level of any database."""
    headline: str
    databases: list[Database]
    patterns: list[Pattern]


class DatabaseMeasure(Measure):
    """A measure of a database."""

    database: str


class MeasuresDocument(TypedDict):
    """The measures of all databases, or of some, in configured order."""

    takenAt: Time
    """When this snapshot was taken."""
    measures: list[DatabaseMeasure]


class Holder(TypedDict):
    """A process that has the database open, as its locks show."""

    pid: int
    command: str
    unit: str | None
    """Its systemd unit or container; null if it has none, or if it is unknown."""
    uses: list[Annotated[Use, open_text(Use, "What it does with the database.")]]
    since: Time
    """When it was first seen."""
    holdsLogBackSince: Time | None
    """Since when, at the latest, it has kept the WAL from being checkpointed; null if it does
    not."""


_From = TypedDict("_From", {"from": Time})
"""A field whose name is a keyword of Python."""


class Opener(_From):
    """A process that had the database open, from the first to the last look that found it.

    Stored with the history, for 30 days. Visits between two looks are not seen.
    """

    pid: int
    command: str
    unit: str | None
    """Its systemd unit or container; null if it has none, or if it is unknown."""
    until: Time


class Disk(TypedDict):
    """A file system."""

    freeBytes: Bytes
    """Space that ordinary users may still write."""
    totalBytes: Bytes


class Event(TypedDict):
    """A change worth remembering."""

    id: int | None
    at: Time
    database: str
    kind: Annotated[EventKind, open_text(EventKind, "The event, for programs.")]
    text: str
    """The event in words."""
    before: Facts
    """The facts that changed, before: `rows` by table, `objects` of the schema, `counters` and
    others."""
    after: Facts
    """The same facts, after."""
    endedAt: Time | None
    """When the problem that it caused ended, or was acknowledged."""


class DatabaseDocument(Database):
    """All details of one database."""

    walBacklogBytes: Bytes | None
    """The part of the WAL that is not yet checkpointed."""
    holders: list[Holder] | None
    """The processes that have it open; null if they cannot be determined."""
    openers: list[Opener]
    """The newest 200 processes that had it open, newest first, those that have it open included."""
    foreignEngine: bool
    """Whether an engine other than SQLite, such as Turso, has it open, as its locks show."""
    disk: Disk | None
    schema: dict[str, str] | None
    """Definitions by `table NAME`, `column TABLE.NAME` and the like."""
    userVersion: int | None
    applicationId: int | None
    changeCounter: int | None
    freelistBytes: Bytes | None
    """Unused space within the file."""
    tableBytes: dict[str, Bytes]
    """Bytes of each table and each index, by name, as the page check last found them; empty until
    measured."""
    events: list[Event]
    """Its newest events, newest first."""


class EventsDocument(TypedDict):
    """Events, newest first; with `since`, oldest first."""

    events: list[Event]
    next: str | None
    """Where to continue. Without `since`: the `before` for older events, null if there are none.
    With `since`: the `since` for the next request, never null."""


class Series(TypedDict):
    """One number over time."""

    database: str
    table: str | None
    """Null if the metric is of the whole database, or a measure."""
    metric: Metric | Annotated[str, Field(pattern=f"^{MEASURE}$")]
    label: str | None
    """Which value of a measure it is; null if it has one number, or for another metric."""
    unit: str | None
    """Null if a measure has none. The values of an age are seconds."""
    points: list[tuple[Time, int | float | None]]
    """Time and value, oldest first. Null while the database was not watched or the value was
    unknown; never interpolated. A table that no longer exists has 0 rows."""
    ranges: list[tuple[int | float, int | float] | None]
    """For each point, the minimum and maximum since the previous one; null if they are equal."""


class HistoryDocument(TypedDict):
    """One series per table, per label of a measure, or per database.

    A measure has at most 50 labels; `others` is the sum of the others, or the greatest age.
    """

    series: list[Series]


class Error(TypedDict):
    """Why a request failed."""

    code: Annotated[ErrorCode, open_text(ErrorCode, "The cause, for programs.")]
    message: str
    """The cause, for people; for a bad parameter, its name and what is allowed."""


class ErrorDocument(TypedDict):
    """The body of every response under `/api` other than 200, 204 and 304."""

    error: Error
