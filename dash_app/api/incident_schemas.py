"""The JSON documents of incidents as types; see `schemas`."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from dash_app.api.schemas import Acknowledgement, Count, Time, open_text
from dash_app.model.notification import NotificationKind
from dash_app.model.problem import Level, ProblemCode


class Message(TypedDict):
    """A notification of an incident."""

    kind: Annotated[NotificationKind, open_text(NotificationKind, "Why it was sent.")]
    title: str
    madeAt: Time
    sentAt: Time | None
    """Null if it is not sent yet."""
    attempts: Count
    failure: str | None
    """Why the last attempt failed."""


class Incident(TypedDict):
    """Problems of one cause, from start to end."""

    id: Annotated[int, Field(ge=1)]
    key: str
    """Identifies the cause. A cause that returns later is a new incident with the same key."""
    databases: list[str]
    """All databases that were ever affected, in the order in which they were."""
    kind: Annotated[
        str,
        open_text(
            ProblemCode, "The worst problem: a finding's kind, an error's code, or failing alerts."
        ),
    ]
    level: Level
    """The worst level of its problems; if it has ended, the last one."""
    text: str
    """The problem, its cause and the affected databases."""
    remedy: str
    """One thing to do."""
    since: Time
    endedAt: Time | None
    acknowledged: Acknowledgement | None
    evidence: list[str]
    """Facts that show the cause, kept after its end: a line per process, with inodes and locks."""
    messages: list[Message]
    """Oldest first."""


class IncidentsDocument(TypedDict):
    """Incidents, newest first."""

    incidents: list[Incident]
    next: str | None
    """The `before` for older incidents; null if there are none."""
