"""Who is told of what is amiss, and who hears that we live."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from dash_app.model.quiet_hours import NO_QUIET_HOURS
from dash_app.settings.base import Section
from dash_app.settings.quiet_hours import QuietHoursSetting
from dash_app.settings.values import MAX_INTEGER, Duration, between, page_link, path_or_none
from dash_app.system.secret_files import urls_in

A_YEAR = timedelta(days=366)


def _with_urls(value: object, info: ValidationInfo) -> Path | None:
    """Return the path of a file that holds URLs; None for no file. Raises ValueError."""
    path = path_or_none(value, info)
    try:
        if path:
            urls_in(path)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return path


def _with_web_address(value: object, info: ValidationInfo) -> Path | None:
    path = _with_urls(value, info)
    if path and not urls_in(path)[0].startswith(("http://", "https://")):
        raise ValueError("write the heartbeat's URL into it, with http:// or https://")
    return path


class WatchSettings(Section):
    """Who hears that we live, so that silence means something."""

    heartbeat_file: Annotated[Path | None, BeforeValidator(_with_web_address)] = None
    heartbeat_every: Annotated[
        Duration, between(timedelta(seconds=1), timedelta(days=1), "1s and 1d")
    ] = timedelta(minutes=1)


class AlertsSettings(Section):
    """Who is told of faults, when, and how often; nobody without `urls_file`."""

    urls_file: Annotated[Path | None, BeforeValidator(_with_urls)] = None
    after: Annotated[Duration, between(timedelta(0), timedelta(days=1), "0s and 1d")] = timedelta(
        minutes=1
    )
    settle: Annotated[Duration, between(timedelta(0), timedelta(days=1), "0s and 1d")] = timedelta(
        minutes=5
    )
    remind: Annotated[Duration, between(timedelta(0), A_YEAR, "0s and 366d")] = timedelta(days=1)
    quiet: QuietHoursSetting = NO_QUIET_HOURS
    most_an_hour: Annotated[int, Field(ge=1, le=MAX_INTEGER, strict=True)] = 10
    link: Annotated[str, AfterValidator(page_link)] = ""
