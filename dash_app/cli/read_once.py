"""Looks at the databases once, as the service does, for `status` where there is none."""

from __future__ import annotations

import sqlite3

from dash_app.airlock.airlock import Airlock
from dash_app.api.schemas import StatusDocument
from dash_app.api.serializers import status_document
from dash_app.cli.terminal import fail
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.sampler import Sampler
from dash_app.settings import Settings
from dash_app.words import numbers


def look(configured: Settings, airlock: Airlock) -> StatusDocument:
    """Return the document of what an airlock reads, judged by what the history remembers."""
    path = configured.history.path
    try:
        return status_document(Sampler(configured, ReadOnlyHistory(path), airlock).tick())
    except sqlite3.Error as error:
        fail(f"History {numbers.short_path(path)} cannot be read: {error}")
    finally:
        airlock.close()
