"""Tells people of incidents, and keeps what it told in step with the history.

A message is stored before it is sent and marked at once after: after a crash in between it is sent
again, under the same mark. Where the history cannot be written, messages are sent all the same.
"""

from __future__ import annotations

import logging
import socket
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from dash_app.alerts.delivery import Delivery
from dash_app.alerts.policy import (
    FAILING,
    AlertPolicy,
    Outbox,
    attempted,
    failing,
    follow,
    release,
    settled,
    types_of,
)
from dash_app.history.incidents import WantedIncidents
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.writer import History
from dash_app.model.incident import Incident
from dash_app.model.notification import Notification
from dash_app.model.problem import Problem
from dash_app.model.times import moved
from dash_app.settings import Settings
from dash_app.system import network
from dash_app.system.clock import CLOCK, Clock
from dash_app.words.notifications import failing_text

MAX_UNTOLD = 1000
LATELY = timedelta(days=7)
"""An end that nobody was told of for longer, since nobody was to be told, is no news any more."""

log = logging.getLogger(__name__)


class Notifier:
    """Who tells people, as far as the settings name any. For one thread, but for `hurry`."""

    def __init__(
        self,
        settings: Settings,
        history: History | ReadOnlyHistory,
        on_news: Callable[[], object],
        clock: Clock = CLOCK,
    ) -> None:
        """Take up what was told; `on_news` has `tell` called soon. Raises sqlite3.Error."""
        self._settings = settings
        self._on_news = on_news
        self._clock = clock
        self._store = history.messages
        self._delivery: Delivery | None = None
        self._outbox = Outbox()
        if settings.alerts.urls_file and history.messages and history.incidents:
            now = clock.now()
            self._delivery = Delivery(settings.alerts.urls_file, on_news)
            untold = tuple(history.messages.untold())
            lately = now - LATELY
            wanted = WantedIncidents(ids=untold, most=MAX_UNTOLD, ended_since=lately)
            known = history.incidents.found(wanted)
            self._outbox = Outbox(
                tuple(history.messages.open(now)),
                tuple(entry.incident.up_to(now) for entry in reversed(known)),
            )
        self._stored = set(self._outbox.messages)
        self._is_stored = True

    def tell(self, incidents: Sequence[Incident], now: datetime) -> None:
        """Have people told of incidents that are open or over of late, if that is due."""
        if self._delivery is None:
            return
        self._hear(self._delivery, now)
        if not incidents and self._outbox == Outbox():
            return
        manners = self._manners()
        self._outbox = follow(self._outbox, incidents, manners, now)
        sent: list[Notification] = []
        if self._delivery.is_ready:
            self._outbox, sent = release(self._outbox, manners, now)
        self._save()
        if sent:
            self._delivery.begin(sent, types_of(self._outbox, sent))

    def move(self, by: timedelta) -> None:
        """Move all times by as much as the clock was set, so that durations stay what they are."""
        self._outbox = moved(self._outbox, by)

    def problems(self) -> list[Problem]:
        """Return the problem that notifications are not delivered, if there is one."""
        lost = failing(self._outbox)
        if not lost or self._settings.alerts.urls_file is None:
            return []
        text, remedy = failing_text(lost)
        return [Problem(FAILING, "notice", lost[0].made_at, text, remedy)]

    def hurry(self) -> None:
        """Begin nothing more; what is under way is finished."""
        if self._delivery:
            self._delivery.hurry()

    def end(self) -> None:
        """Wait for what is under way, and keep what became of it."""
        if self._delivery:
            self._delivery.end()
            self._hear(self._delivery, self._clock.now())
            self._save()

    def store_again(self) -> None:
        """Store all pending notifications in a new history file."""
        self._stored = set()
        self._save()

    def resume(self) -> None:
        """Send again after `end`."""
        if self._delivery and self._settings.alerts.urls_file:
            self._delivery = Delivery(self._settings.alerts.urls_file, self._on_news)

    def _hear(self, delivery: Delivery, now: datetime) -> None:
        """Take what became of messages."""
        for news in delivery.news():
            mark = news["mark"]
            if "receiver" in news:
                self._outbox = attempted(self._outbox, mark, news["receiver"], news["outcome"])
                continue
            self._outbox = settled(self._outbox, mark, news["failure"], now, news["outcome"])
            if news["failure"]:
                log.warning("message %s not sent: %s", mark, news["failure"])
            else:
                log.info("message %s sent", mark)
        self._save()

    def _save(self) -> None:
        """Store what changed."""
        changed = [one for one in self._outbox.messages if one not in self._stored]
        if not changed or self._store is None:
            return
        try:
            self._store.keep(changed)
        except sqlite3.Error as error:
            if self._is_stored:
                log.error("messages not stored: %s", error)
            self._is_stored = False
            return
        self._stored = set(self._outbox.messages)
        self._is_stored = True

    def _manners(self) -> AlertPolicy:
        alerts, server = self._settings.alerts, self._settings.server
        link = alerts.link or _link(server.addresses, server.port)
        return AlertPolicy(
            after=alerts.after,
            settle=alerts.settle,
            remind=alerts.remind,
            quiet=alerts.quiet,
            most_an_hour=alerts.most_an_hour,
            link=link,
            host=socket.gethostname().partition(".")[0],
        )


def _link(names: Iterable[str], port: int) -> str:
    """Return where the page is served first that is not loopback; empty for nowhere."""
    addresses = network.addresses_to_bind(names)
    if any(one.is_unspecified for one in addresses):
        addresses = [*network.tailscale_addresses(), *addresses]
    others = [one for one in addresses if not one.is_loopback and not one.is_unspecified]
    return network.link(others[0], port).rstrip("/") if others else ""
