"""Check the pages of all databases for damage, in the background."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from dash_app.model.database import Database
from dash_app.model.integrity import NOT_YET, Integrity
from dash_app.model.reading import Reading
from dash_app.settings.schema import IntegritySettings

OFF = "turned off in the configuration"


class PageChecker:
    """The page checks of all databases. Not thread-safe."""

    def __init__(self, databases: Iterable[Database], settings: IntegritySettings) -> None:
        """Prepare to check databases."""
        self._databases = tuple(databases)
        self._settings = settings

    def update(
        self,
        readings: Mapping[str, Reading],  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> Mapping[str, Integrity]:
        """Return what is known about each database, by name. Never wait."""
        return {
            database.name: Integrity(
                "unchecked", reason=NOT_YET if database.is_page_checked else OFF
            )
            for database in self._databases
        }
