"""An outbox in simulated time: no clock, no process, no receiver."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from dash_app.alerts.policy import (
    Outbox,
    dequeue,
    plan,
    record_attempt,
    record_delivery,
)
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.problem import Level
from dash_app.settings.schema import AlertsSettings

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
POLICY = AlertsSettings()
"""An incident is notified after a minute and over after five; ten notifications per hour."""


class Simulation:
    """The policy's decisions minute by minute, with receivers that can be unreachable."""

    def __init__(self, policy: AlertsSettings = POLICY) -> None:
        self.policy, self.now, self.outbox = policy, NOON, Outbox()
        self.incidents: dict[str, Incident] = {}
        self.delivered: list[tuple[datetime, str]] = []
        self.bodies: list[str] = []
        self.attempts: list[datetime] = []
        self.ids = count(1)
        self.is_reachable = True
        self.outcome = "away"
        self.delivered_to: tuple[str, ...] = ()
        """Receivers that get each notification, even if others are unreachable."""

    def start(self, name: str, level: Level = "fault", kind: str = "gone") -> Incident:
        """Start an incident, or let an ended one go on."""
        known = self.incidents.get(name)
        text = f"{name.capitalize()}: The file is gone."
        since, id_ = (known.since, known.id) if known else (self.now, next(self.ids))
        self.incidents[name] = Incident(
            f"{name}:gone", (name,), kind, level, text, "Restore it.", since, id=id_
        )
        return self.incidents[name]

    def end(self, name: str) -> None:
        self.incidents[name] = replace(self.incidents[name], ended_at=self.now)

    def acknowledge(self, name: str, until: datetime | None = None) -> None:
        acknowledged = Acknowledgement("ann", self.now, until)
        self.incidents[name] = replace(self.incidents[name], acknowledged=acknowledged)

    def advance(self, duration: timedelta, step: timedelta = MINUTE) -> None:
        end = self.now + duration
        while self.now < end:
            self.tick()
            self.now += step

    def tick(self) -> None:
        current = [
            incident
            for incident in self.incidents.values()
            if not incident.ended_at or self.now - incident.ended_at <= self.policy.settle
        ]
        self.outbox = plan(self.outbox, current, self.policy, self.now)
        self.outbox, due = dequeue(self.outbox, self.policy, self.now)
        for sent in due:
            self.attempts.append(self.now)
            failure = None if self.is_reachable else "no answer"
            if self.is_reachable:
                self.delivered.append((self.now, sent.title))
                self.bodies.append(sent.body)
            for receiver in self.delivered_to:
                self.outbox = record_delivery(self.outbox, sent.id, receiver, "delivered")
            self.outbox = record_attempt(self.outbox, sent.id, failure, self.now, self.outcome)

    @property
    def titles(self) -> list[str]:
        return [title for _, title in self.delivered]
