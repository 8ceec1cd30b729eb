"""Send notifications about incidents, and keep their state in step with the history.

A notification is stored before it is sent, and its result as soon as it is known. After a crash in
between it is sent again with the same id. While the history cannot be written, notifications are
sent all the same.
"""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from dash_app.alerts.delivery import Delivery
from dash_app.alerts.policy import (
    FAILING,
    Outbox,
    apprise_types,
    dequeue,
    failing,
    plan,
    record_attempt,
    record_delivery,
)
from dash_app.history.incidents import IncidentQuery, IncidentTable
from dash_app.history.notifications import NotificationTable
from dash_app.history.read_only import ReadOnlyHistory
from dash_app.history.write_behind import WriteBehind
from dash_app.history.writer import History
from dash_app.model.incident import Incident
from dash_app.model.notification import Notification
from dash_app.model.problem import Problem
from dash_app.model.times import shift_times
from dash_app.settings import Settings
from dash_app.system import network
from dash_app.system.clock import CLOCK, Clock
from dash_app.words.notifications import failing_text

MAX_INCIDENTS = 1000
MAX_END_AGE = timedelta(days=7)
"""The end of an incident is not notified later than this, for instance after a long downtime."""

log = logging.getLogger(__name__)


class Notifier:
    """Sends notifications if receivers are configured. For one thread, except `stop_starting`."""

    def __init__(
        self,
        settings: Settings,
        history: History | ReadOnlyHistory,
        on_result: Callable[[], object],
        clock: Clock = CLOCK,
    ) -> None:
        """Load unfinished notifications and their incidents.

        `on_result`, called for each result of an attempt, schedules the next `update`. Raise
        sqlite3.Error if the history cannot be read.
        """
        self._settings = settings
        self._history = history
        self._on_result = on_result
        self._clock = clock
        self._delivery: Delivery | None = None
        self._outbox = Outbox()
        if settings.alerts.urls_file and history.incidents and history.notifications:
            self._outbox = _unfinished(history.incidents, history.notifications, clock.now())
            self._delivery = Delivery(settings.alerts.urls_file, on_result)
        self._writes = WriteBehind("notifications", self._store, self._notifications)
        self._outbox = self._outbox.clamp_to(clock.now())

    @property
    def _notifications(self) -> dict[str, Notification]:
        return {notification.id: notification for notification in self._outbox.notifications}

    def update(self, incidents: Sequence[Incident], now: datetime) -> None:
        """Send the notifications that are due about incidents that are open or ended recently."""
        if self._delivery is None:
            return
        self._record_results(self._delivery, now)
        if not incidents and self._outbox == Outbox():
            return
        alerts, server = self._settings.alerts, self._settings.server
        link = alerts.link or _link(server.addresses, server.port)
        policy = alerts.model_copy(update={"link": link})
        host = socket.gethostname().partition(".")[0]
        self._outbox = plan(self._outbox, incidents, policy, now, host)
        due: list[Notification] = []
        if self._delivery.is_ready:
            self._outbox, due = dequeue(self._outbox, policy, now, host)
        self._save()
        if due:
            self._delivery.start(due, apprise_types(self._outbox, due))

    def shift_times(self, by: timedelta) -> None:
        """Move all times by as much as the clock was set, so that durations stay the same."""
        self._outbox = shift_times(self._outbox, by)

    def problems(self) -> list[Problem]:
        """Return the problem that notifications are not delivered, if there is one."""
        lost = failing(self._outbox)
        if not lost:
            return []
        text, remedy = failing_text(lost)
        return [Problem(FAILING, "notice", lost[0].made_at, text, remedy)]

    def stop_starting(self) -> None:
        """Start no further attempts; those under way are finished."""
        if self._delivery:
            self._delivery.stop_starting()

    def stop(self) -> None:
        """Wait for attempts under way, and store their results."""
        if self._delivery:
            self._delivery.stop()
            self._record_results(self._delivery, self._clock.now())

    def store_again(self) -> None:
        """Store all notifications in a new history file."""
        self._writes.restart()
        self._save()

    def resume(self) -> None:
        """Send again after `stop`."""
        if self._delivery and self._settings.alerts.urls_file:
            self._delivery = Delivery(self._settings.alerts.urls_file, self._on_result)

    def _record_results(self, delivery: Delivery, now: datetime) -> None:
        for result in delivery.results():
            id_, outcome = result["id"], result["outcome"]
            if "receiver" in result:
                self._outbox = record_delivery(self._outbox, id_, result["receiver"], outcome)
                continue
            failure = result["failure"]
            self._outbox = record_attempt(self._outbox, id_, failure, now, outcome)
            if failure:
                log.warning("notification %s not sent: %s", id_, failure)
            else:
                log.info("notification %s sent", id_)
        self._save()

    def _save(self) -> None:
        self._writes.save(self._notifications)

    def _store(self, changed: Mapping[str, Notification]) -> Mapping[str, Notification]:
        if self._history.notifications:
            self._history.notifications.store(changed.values())
        return changed


def _unfinished(table: IncidentTable, notifications: NotificationTable, now: datetime) -> Outbox:
    """Load incidents and their notifications; `plan` drops those that are finished."""
    ended = IncidentQuery(is_open=False, limit=MAX_INCIDENTS, ended_since=now - MAX_END_AGE)
    still_open = IncidentQuery(is_open=True, limit=MAX_INCIDENTS)
    incidents = [*table.find(still_open), *table.find(ended)]
    incidents.sort(key=lambda incident: incident.id or 0)
    unfinished = notifications.unfinished((incident.id for incident in incidents), now)
    return Outbox(tuple(unfinished), tuple(incidents))


def _link(names: Iterable[str], port: int) -> str:
    """Return the URL at the first address that is not loopback; empty if there is none."""
    addresses = network.addresses_to_bind(names)
    if any(address.is_unspecified for address in addresses):
        addresses = [*network.tailscale_addresses(), *addresses]
    reachable = [ip for ip in addresses if not ip.is_loopback and not ip.is_unspecified]
    return network.page_url(reachable[0], port).rstrip("/") if reachable else ""
