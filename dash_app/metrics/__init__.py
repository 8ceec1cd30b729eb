"""The route `/metrics`: the newest snapshot for Prometheus."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from dash_app.model.snapshot import NewestSnapshot

if TYPE_CHECKING:
    from dash_app.metrics.exposition import Exposition


def create_metrics(newest: NewestSnapshot, max_tables: int) -> Blueprint:
    """Return the route; it exports at most `max_tables` tables per database."""
    blueprint = Blueprint("metrics", __name__)

    @cache
    def exposition() -> Exposition:
        # Imported by the first scrape: the library takes 1 MB of memory.
        from dash_app.metrics.exposition import Exposition  # noqa: PLC0415

        return Exposition(newest, max_tables)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        body, content_type = exposition().encode(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    return blueprint
