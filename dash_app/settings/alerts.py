"""Who is told of what is amiss, and who hears that we live."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from dash_app.hours import NEVER
from dash_app.settings.base import Section
from dash_app.settings.quiet import QuietHours  # noqa: TC001 - pydantic asks for it at run time
from dash_app.settings.secret import UrlsFile, WebAddressFile  # noqa: TC001 - as above
from dash_app.settings.values import Duration, between, page_link

A_YEAR = timedelta(days=366)


class WatchSettings(Section):
    """Who hears that we live, so that silence means something."""

    heartbeat_file: WebAddressFile = None
    heartbeat_every: Annotated[
        Duration, between(timedelta(seconds=1), timedelta(days=1), "1s and 1d")
    ] = timedelta(minutes=1)


class AlertsSettings(Section):
    """Who is told of faults, when, and how often; nobody without `urls_file`."""

    urls_file: UrlsFile = None
    after: Annotated[Duration, between(timedelta(0), timedelta(days=1), "0s and 1d")] = timedelta(
        minutes=1
    )
    settle: Annotated[Duration, between(timedelta(0), timedelta(days=1), "0s and 1d")] = timedelta(
        minutes=5
    )
    remind: Annotated[Duration, between(timedelta(0), A_YEAR, "0s and 366d")] = timedelta(days=1)
    quiet: QuietHours = NEVER
    most_an_hour: Annotated[int, Field(ge=1, strict=True)] = 10
    link: Annotated[str, AfterValidator(page_link)] = ""
