"""What is expected of a database and its tables, as JSON documents; see `documents`."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from dash_app.api.schemas_common import Time, open_text
from dash_app.model.expectation import State

AnyState = Annotated[State, open_text(State, "How it stands to what is expected of it.")]
Seconds = Annotated[float, Field(ge=0)]


class Standing(TypedDict):
    """How a file or a table stands to what is expected of it."""

    state: AnyState
    everySeconds: Seconds
    """At least so often it is written: a file at all, a table with rows."""
    graceSeconds: Seconds
    """So much later it is down, and no longer late."""
    lastAt: Time | None
    """When it was last seen to be written; null if never."""
    dueAt: Time | None
    """By when the next write is expected, or was; null while paused, and before the first look."""


class Watch(TypedDict):
    """How a database and its tables stand to what is expected of them."""

    state: AnyState
    """The worst of them."""
    paused: bool
    """Whether nothing is told of the whole database; its level is `well` then."""
    dueAt: Time | None
    """The earliest of them."""
    file: Standing | None
    """Null where nothing is expected of the file."""
    tables: dict[str, Standing]
    """Those of which something is expected."""
