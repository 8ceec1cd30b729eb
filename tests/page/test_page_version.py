"""A page is drawn from the same snapshot as its version, so it never misses a change."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from flask.testing import FlaskClient

from dash_app import settings
from dash_app.model.incident import Acknowledgement, Incident
from dash_app.model.snapshot import Snapshot
from dash_app.page import page
from dash_app.page.page import version_of
from dash_app.sampler import Sampler
from dash_app.web.app import create_server
from tests.factories import NOW, good_reading, judged_status
from tests.harness import write_config
from tests.page.helpers import tick_request


def incident(number: int) -> Incident:
    text = f"Email: Problem {number}."
    return Incident(
        "email:down", ("email", "health"), "down", "fault", text, "Fix it.", NOW, id=number
    )


def snapshot_with(incidents: int) -> Snapshot:
    """A snapshot with open incidents, taken one second later for each of them."""
    open_ = tuple(incident(number + 1) for number in range(incidents))
    taken_at = NOW + timedelta(seconds=incidents)
    return Snapshot(taken_at, (judged_status(good_reading(tasks=1)),), incidents=open_)


class BusySampler:
    """Publishes a snapshot with one more incident each time the newest one is read."""

    def __init__(self) -> None:
        self.published: list[Snapshot] = []

    @property
    def snapshot(self) -> Snapshot:
        self.published.append(snapshot_with(len(self.published)))
        return self.published[-1]

    def fresh(self) -> Snapshot:
        return self.snapshot

    def age_seconds(self, _snapshot: Snapshot) -> float:
        return 0.0


@pytest.fixture
def sampler() -> BusySampler:
    return BusySampler()


@pytest.fixture
def client(sampler: BusySampler, tmp_path: Path) -> FlaskClient:
    loaded = settings.load(write_config(tmp_path, [("email", tmp_path / "email.db")]))
    return create_server(loaded, cast("Sampler", sampler), NOW).test_client()


def drawn_incidents(html: str) -> int:
    return len(set(re.findall(r"Problem \d+\.", html)))


def layout_of(client: FlaskClient) -> tuple[dict[str, Any], Sequence[str]]:
    """The pulse and the facts of the layout."""
    parts = client.get("/_dash-layout").get_json()["props"]["children"]
    (part,) = (part["props"] for part in parts if part["props"].get("id") == "snapshot")
    return part["data"], part["facts"]


def tick(client: FlaskClient, pulse: dict[str, Any]) -> tuple[dict[str, Any], Sequence[str]]:
    """The pulse and the facts that a tick of an open page returns."""
    body = tick_request(pulse)
    props = client.post("/_dash-update-component", json=body).get_json()["response"]["snapshot"]
    return props["data"], props["facts"]


def test_layout_and_tick_draw_the_snapshot_of_their_version(
    client: FlaskClient, sampler: BusySampler
) -> None:
    pulse, facts = layout_of(client)
    for _ in range(3):
        drawn = sampler.published[drawn_incidents("".join(facts))]
        assert pulse["version"] == version_of(drawn)
        assert pulse["takenAt"] == drawn.taken_at.isoformat()
        pulse, facts = tick(client, pulse)


def test_the_first_response_shows_the_time_of_the_snapshot_that_it_draws(
    client: FlaskClient, sampler: BusySampler
) -> None:
    html = client.get("/").get_data(as_text=True)
    drawn = sampler.published[drawn_incidents(html)]
    assert f"as of {drawn.taken_at:%H:%M:%S} UTC" in html


def test_the_version_changes_with_an_incident_and_with_the_end_of_an_acknowledgement() -> None:
    before, after = snapshot_with(1), snapshot_with(2)
    assert version_of(before) != version_of(after)
    acknowledgement = Acknowledgement("ann@example.com", NOW, NOW + timedelta(hours=1))
    acknowledged = replace(incident(1), acknowledged=acknowledgement)
    during = replace(before, incidents=(acknowledged,))
    later = replace(during, taken_at=NOW + timedelta(hours=2))
    assert len({version_of(snapshot) for snapshot in (before, during, later)}) == 3


def test_the_version_is_computed_once_per_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = snapshot_with(1)
    computed: list[Snapshot] = []
    monkeypatch.setattr(page, "history_disk", computed.append)
    versions = {version_of(snapshot, database) for database in (None, "email", None)}
    assert len(versions) == 2
    assert computed == [snapshot]
