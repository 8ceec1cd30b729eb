"""One search for databases when the service starts without a configuration."""

import logging
from pathlib import Path

from dash_app.airlock.finder import Finder
from dash_app.model.database import Database
from dash_app.settings import Settings
from dash_app.settings.proposals import propose, usual_folders

SECONDS = 5.0

log = logging.getLogger(__name__)


class FirstSearch:
    """A search that nothing waits for. `finder` is None if there is none, or it is over."""

    def __init__(self, settings: Settings) -> None:
        """Start it, unless the settings list databases."""
        self.finder: Finder | None = None
        try:
            if not settings.names_databases:
                self.finder = Finder({"folders": usual_folders()}, SECONDS)
        except OSError as error:
            log.error("cannot search for databases: %s", error)

    def poll(self) -> tuple[Database, ...] | None:
        """Return the databases to propose once the search is over, those of known programs first.

        Return None before, and after the first time.
        """
        if self.finder is None or not self.finder.poll():
            return None
        found = propose(self.finder.files, (), {})
        proposals = sorted(found, key=lambda proposal: proposal.program is None)
        self.finder = None
        return tuple(Database(one.name, one.label, Path(one.path)) for one in proposals)

    def close(self) -> None:
        """End it."""
        if self.finder:
            self.finder.close()
