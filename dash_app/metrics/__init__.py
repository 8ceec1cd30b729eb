"""The route `/metrics`: the newest snapshot for Prometheus. Nothing here opens a watched file."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from dash_app.model.snapshot import NewestSnapshot
from dash_app.settings import Settings

if TYPE_CHECKING:
    from dash_app.metrics.exposition import Exposition


def create_metrics(settings: Settings, newest: NewestSnapshot) -> Blueprint:
    """Return the route."""
    blueprint = Blueprint("metrics", __name__)

    @cache
    def exposition() -> Exposition:
        # The library takes 1 MB, of a service that nobody scrapes too.
        from dash_app.metrics.exposition import Exposition  # noqa: PLC0415

        return Exposition(newest, settings.metrics.max_tables)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        body, content_type = exposition().written(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    return blueprint
