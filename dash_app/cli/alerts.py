"""The commands about messages: `alerts install`, `alerts test` and `alerts list`."""

from __future__ import annotations

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
from dash_app.alerts.policy import held_back
from dash_app.cli.terminal import config_option, fail, table
from dash_app.history.notifications import newest_messages
from dash_app.model.notification import Notification
from dash_app.settings import Settings
from dash_app.system.exit_codes import ExitCode
from dash_app.system.secret_files import digest, redact, urls_in
from dash_app.words import numbers
from dash_app.words.notifications import notification_state, signature, test_message

MAX_MESSAGES = 20

EXAMPLES = """\b
Examples:
  ./ops/run alerts install          bring what sends messages; upgrades keep it
  ./ops/run alerts test             send one to each receiver
  ./ops/run alerts list --limit 50  receivers, and what they were told

\b
Of a URL no more is ever shown than its scheme and its host.
"""


@click.group(epilog=EXAMPLES)
def alerts() -> None:
    """Send a test message, name receivers and messages, install what sends them."""


@alerts.command()
def install() -> None:
    """Install apprise beside Mission Control; upgrades keep it."""
    try:
        found = version("apprise")
    except PackageNotFoundError:
        fail("./ops/run alerts install does it.")
    click.echo(f"apprise {found} is installed. Next: a file of URLs, and ./ops/run alerts test")


@alerts.command()
@config_option
def test(config: Path | None) -> None:
    """Send one message to each receiver and say what came of it."""
    configured = settings.load(config)
    path, urls = _receivers(configured)
    if not urls or path is None:
        place = numbers.short_path(configured.source)
        fail(f"No receivers: name a file of URLs as `urls_file` under [alerts] in {place}.")
    now, mark = datetime.now(UTC), secrets.token_hex(4)
    title, body = test_message(now)
    host = socket.gethostname().partition(".")[0]
    body = f"{body}\n{signature(host, mark)}"
    message = Notification(mark, "summary", "", None, title, body, now, now)
    found: dict[str, list[str]] = {}
    failure = None
    for news in Delivery(path, lambda: None).send([message], {mark: "info"}):
        if "receiver" in news:
            found.setdefault(news["url"], []).append(news["problem"] or "sent")
        else:
            failure = news["failure"]
    for url in urls:
        for what, times in Counter(found.get(digest(url), [failure])).items():
            click.echo(f"{redact(url)}: {what}{f' ({times} receivers)' if times > 1 else ''}")
    sys.exit(ExitCode.FAILURE if failure else ExitCode.WELL)


@alerts.command(name="list")
@config_option
@click.option("--limit", type=click.IntRange(1), default=MAX_MESSAGES, help="20 by default.")
def list_(config: Path | None, limit: int) -> None:
    """Name the receivers, and the newest messages with what became of them."""
    configured = settings.load(config)
    _path, urls = _receivers(configured)
    for url in urls:
        click.echo(f"Receiver {redact(url)}")
    if not urls:
        click.echo("No receivers.")
    try:
        found = newest_messages(configured.history.path, limit)
    except sqlite3.OperationalError:  # none yet
        found = []
    now = datetime.now(UTC)
    alerts = configured.alerts
    told = []
    for one in found:
        held = held_back(one, found, alerts.quiet, alerts.most_an_hour, now) if one.waits else None
        state = notification_state(one, now, held)
        told.append((f"{one.made_at:%Y-%m-%d %H:%M} UTC", one.mark, one.title, state))
    click.echo("\n".join(table(told)) if told else "No messages.")


def _receivers(configured: Settings) -> tuple[Path | None, list[str]]:
    path = configured.alerts.urls_file
    return path, urls_in(path) if path else []
