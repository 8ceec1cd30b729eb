"""One reading of the databases, as the service makes it, for `status` if no service answers."""

from __future__ import annotations

import sqlite3

from dash_app.airlock.airlock import Airlock
from dash_app.api.schemas import StatusDocument
from dash_app.api.serializers import status_document
from dash_app.cli.terminal import fail
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.model.snapshot import Snapshot
from dash_app.sampler import Sampler
from dash_app.settings import Settings
from dash_app.words import numbers


def read_once(configured: Settings, airlock: Airlock) -> tuple[Snapshot, StatusDocument]:
    """Return a snapshot, based on the state in the history, and its document; close the airlock."""
    path = configured.history.path
    try:
        snapshot = Sampler(configured, ReadOnlyHistory(path), airlock).tick()
    except sqlite3.Error as error:
        fail(f"History {numbers.short_path(path)} cannot be read: {error}")
    finally:
        airlock.close()
    return snapshot, status_document(snapshot)
