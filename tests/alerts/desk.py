"""An outbox in simulated time: no clock, no process, no receiver."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from dash_app.alerts.policy import (
    AlertPolicy,
    Outbox,
    dequeue,
    plan,
    record_attempt,
    record_delivery,
)
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.level import Level
from dash_app.model.quiet_hours import NO_QUIET_HOURS

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
POLICY = AlertPolicy(
    after=MINUTE,
    settle=5 * MINUTE,
    remind=24 * HOUR,
    quiet=NO_QUIET_HOURS,
    most_an_hour=10,
    link="",
)


class Desk:
    """An outbox through time: what is open is told each minute, and what is sent arrives or not."""

    def __init__(self, policy: AlertPolicy = POLICY) -> None:
        self.policy, self.now, self.outbox = policy, NOON, Outbox()
        self.incidents: dict[str, Incident] = {}
        self.arrived: list[tuple[datetime, str]] = []
        self.bodies: list[str] = []
        self.tries: list[datetime] = []
        self.ids = count(1)
        self.is_reachable = True
        self.outcome = "away"
        self.reaches: tuple[str, ...] = ()

    def begins(self, name: str, level: Level = "fault", kind: str = "gone") -> None:
        known = self.incidents.get(name)
        text = f"{name.capitalize()}: The file is gone."
        since, number = (known.since, known.id) if known else (self.now, next(self.ids))
        self.incidents[name] = Incident(
            f"{name}:gone", (name,), kind, level, text, "Restore it.", since, id=number
        )

    def ends(self, name: str) -> None:
        self.incidents[name] = replace(self.incidents[name], ended_at=self.now)

    def acknowledges(self, name: str, until: datetime | None = None) -> None:
        known = Acknowledgement("ann", self.now, until)
        self.incidents[name] = replace(self.incidents[name], acknowledged=known)

    def passes(self, time: timedelta, step: timedelta = MINUTE) -> None:
        ends = self.now + time
        while self.now < ends:
            self.looks()
            self.now += step

    def looks(self) -> None:
        of_late = [
            one
            for one in self.incidents.values()
            if not one.ended_at or self.now - one.ended_at <= self.policy.settle
        ]
        self.outbox = plan(self.outbox, of_late, self.policy, self.now)
        self.outbox, sent = dequeue(self.outbox, self.policy, self.now)
        for one in sent:
            self.tries.append(self.now)
            failure = None if self.is_reachable else "no answer"
            if self.is_reachable:
                self.arrived.append((self.now, one.title))
                self.bodies.append(one.body)
            for receiver in self.reaches:
                self.outbox = record_delivery(self.outbox, one.id, receiver, "delivered")
            self.outbox = record_attempt(self.outbox, one.id, failure, self.now, self.outcome)

    @property
    def titles(self) -> list[str]:
        return [title for _, title in self.arrived]
