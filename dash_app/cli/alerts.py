"""The commands `alerts install`, `alerts test` and `alerts list`."""

import secrets
import socket
import sqlite3
import sys
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from dash_app import settings
from dash_app.alerts.delivery import Delivery
from dash_app.alerts.policy import pending_reason, urgent_ids
from dash_app.cli.terminal import config_option, fail, table
from dash_app.history.incidents import IncidentQuery, find_incidents
from dash_app.history.notifications import newest_notifications
from dash_app.model.notification import Notification
from dash_app.settings import Settings
from dash_app.system import self_probe
from dash_app.system.exit_codes import ExitCode
from dash_app.system.secret_files import digest, read_urls, redact
from dash_app.words import numbers
from dash_app.words.commands import RUN
from dash_app.words.notifications import notification_state, signature, trial_text

DEFAULT_LIMIT = 20
MAX_OPEN = 100_000

NOT_SERVED = "because the service that sends it does not run"
ENDED = "but it is over, so only its end is sent"
"""Why a pending notification is not sent."""

EXAMPLES = f"""\b
Examples:
  {RUN} alerts install          install the library that sends notifications
  {RUN} alerts test             send a test notification to each receiver
  {RUN} alerts list --limit 50  list the receivers and the newest 50 notifications

\b
URLs are secret: only their scheme and host are shown.
"""


@click.group(epilog=EXAMPLES)
def alerts() -> None:
    """Set up, test and list notifications."""


@alerts.command()
def install() -> None:
    """Install apprise, which sends notifications. Upgrades keep it."""
    try:
        installed = version("apprise")
    except PackageNotFoundError:
        fail(f"Run {RUN} alerts install instead.")
    click.echo(f"apprise {installed} is installed. Next: {RUN} alerts test")


@alerts.command()
@config_option
def test(config: Path | None) -> None:
    """Send a test notification to each receiver and print the results."""
    configured = settings.load(config)
    path, urls = _receivers(configured)
    if not urls or path is None:
        place = numbers.short_path(configured.source)
        fail(
            f"No receivers. Set `urls_file` under [alerts] in {place} to the path of a file "
            "with one URL per line."
        )
    now, id_ = datetime.now(UTC), secrets.token_hex(4)
    title, body = trial_text(now)
    host = socket.gethostname().partition(".")[0]
    body = f"{body}\n{signature(host, id_)}"
    message = Notification(id_, "summary", "", None, title, body, now, now)
    results: dict[str, list[str]] = {}
    failure = None
    for news in Delivery(path, lambda: None).send([message], {id_: "info"}):
        if "receiver" in news:
            results.setdefault(news["url"], []).append(news["problem"] or "sent")
        else:
            failure = news["failure"]
    for url in urls:
        for result, count in Counter(results.get(digest(url), [failure])).items():
            click.echo(f"{redact(url)}: {result}{f' ({count} receivers)' if count > 1 else ''}")
    sys.exit(ExitCode.FAILURE if failure else ExitCode.WELL)


@alerts.command(name="list")
@config_option
@click.option("--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, help="Default: 20.")
def list_(config: Path | None, limit: int) -> None:
    """List receivers and recent notifications with their state."""
    configured = settings.load(config)
    _path, urls = _receivers(configured)
    for url in urls:
        click.echo(f"Receiver {redact(url)}")
    if not urls:
        click.echo("No receivers.")
    try:
        newest = newest_notifications(configured.history.path, limit)
        query = IncidentQuery(is_open=True, limit=MAX_OPEN)
        open_incidents = find_incidents(configured.history.path, query)
    except sqlite3.OperationalError:  # there is no history yet
        newest, open_incidents = [], []
    urgent = urgent_ids(newest, open_incidents)
    open_ids = {incident.id for incident in open_incidents}
    is_served = any(one.is_pending for one in newest) and _is_served(configured)
    now = datetime.now(UTC)
    rows = []
    for notification in newest:
        reason, stopped = None, "" if is_served else NOT_SERVED
        if notification.is_pending:
            is_urgent = notification.id in urgent
            reason = pending_reason(
                notification, newest, configured.alerts, now, is_urgent=is_urgent
            )
        if notification.kind != "over" and notification.incident not in {None, *open_ids}:
            stopped = ENDED
        state = notification_state(notification, now, reason, stopped)
        made_at = f"{notification.made_at:%Y-%m-%d %H:%M} UTC"
        rows.append((made_at, notification.id, notification.title, state))
    click.echo("\n".join(table(rows)) if rows else "No notifications.")


def _is_served(configured: Settings) -> bool:
    server = configured.server
    found = self_probe.get_json(server.addresses, server.port, "/api/service", server.authorization)
    return found is not None


def _receivers(configured: Settings) -> tuple[Path | None, list[str]]:
    path = configured.alerts.urls_file
    return path, read_urls(path) if path else []
