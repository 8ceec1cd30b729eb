"""Fixtures and settings of all tests."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.airlock_helpers import WITHOUT_TURNS, change_children
from tests.harness import Served, make_database, write_config

# The time that an example takes means nothing on a busy machine.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service over one database, shared by the tests of a module."""
    folder = tmp_path_factory.mktemp("served")
    database = make_database(folder / "email.db", messages=3)
    with Served(write_config(folder, [("email", database)])) as served:
        yield served


@pytest.fixture
def count_at_once(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let readers count a changed table at once, where their share of a core is no subject."""
    change_children(tmp_path_factory.mktemp("child"), monkeypatch, WITHOUT_TURNS)
