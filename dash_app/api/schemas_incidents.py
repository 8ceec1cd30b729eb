"""The documents of incidents as types, like those of `documents`."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from dash_app.api.schemas_common import Time, open_text
from dash_app.model.level import Level
from dash_app.model.notification import NotificationKind
from dash_app.model.problem import FindingKind
from dash_app.model.reading import Code

IncidentKind = Literal[FindingKind, Code, "alerts_failing"]


class Acknowledgement(TypedDict):
    """Somebody knows of an incident, which keeps reminders away."""

    by: str
    """A person by the word of `tailscale serve`, else the address of the client."""
    at: Time
    until: Time | None
    """Null for as long as the incident lasts."""


class Message(TypedDict):
    """A message about an incident."""

    kind: Annotated[NotificationKind, open_text(NotificationKind, "Why it was made.")]
    title: str
    madeAt: Time
    sentAt: Time | None
    """Null while it could not be sent."""
    attempts: Annotated[int, Field(ge=0)]
    failure: str | None
    """Why the last try failed."""


class Incident(TypedDict):
    """What one cause did, from its begin to its end."""

    id: Annotated[int, Field(ge=1)]
    key: str
    """Names the cause; the same one may come again later, as another incident."""
    databases: list[str]
    """Whom it ever concerned, in the order in which they came to it."""
    kind: Annotated[
        str,
        open_text(IncidentKind, "The worst of it: a finding's, an error's, or that alerts fail."),
    ]
    level: Level
    """The worst it is or was when it ended."""
    text: str
    """What is amiss and why, with whom it concerns."""
    remedy: str
    """One thing to do."""
    since: Time
    endedAt: Time | None
    acknowledged: Acknowledgement | None
    messages: list[Message]
    """Oldest first."""


class IncidentsDocument(TypedDict):
    """Incidents, newest first."""

    incidents: list[Incident]
    next: str | None
    """Sent as `before`, it brings older ones; null where there are none."""
