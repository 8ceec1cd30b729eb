"""The state of the databases, as the service reports it, for `status` if no service answers."""

from contextlib import closing

from dash_app.airlock.airlock import Airlock
from dash_app.api.schemas import StatusDocument
from dash_app.api.serializers import status_document
from dash_app.cli.terminal import fail_if_unreadable
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.incidents.tracker import MAX_LOADED
from dash_app.model.snapshot import Snapshot
from dash_app.sampler import Sampler
from dash_app.settings import Settings

MEASURE_SECONDS = 5.0
"""Maximum time to wait for the measures; those that are late are unknown."""


def read_once(configured: Settings, airlock: Airlock) -> tuple[Snapshot, StatusDocument]:
    """Return a snapshot, based on the state in the history, and its document; close the airlock."""
    path = configured.history.path
    with closing(airlock), fail_if_unreadable(path):
        sampler = Sampler(configured, ReadOnlyHistory(path), airlock)
        snapshot = sampler.tick()
        for _second_or_third in range(2):  # a conflict must be seen twice, and locks may be missed
            if _is_undecided(snapshot):
                snapshot = sampler.tick()
        if any(database.measures for database in configured.databases):
            sampler.measure(MEASURE_SECONDS)
            snapshot = sampler.tick()
        if path.exists():  # its incidents have the acknowledgements
            known = find_incidents(path, IncidentQuery(is_open=True, limit=MAX_LOADED))
            snapshot = snapshot.with_incidents(tuple(known))
    return snapshot, status_document(snapshot)


def _is_undecided(snapshot: Snapshot) -> bool:
    """Whether the last looks at a database showed a conflict that another tick must confirm."""
    readings = [status.reading for status in snapshot.databases]
    return any("one_generation" in r.detail and not r.surroundings.conflicts for r in readings)
