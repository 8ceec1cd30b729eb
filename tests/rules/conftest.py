"""Tests of rules wait for no count: what a count may take of a core is the reader's subject."""

import pytest

from tests.airlock_helpers import WITHOUT_TURNS, change_children


@pytest.fixture(autouse=True)
def _count_at_once(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_children(tmp_path_factory.mktemp("child"), monkeypatch, WITHOUT_TURNS)
