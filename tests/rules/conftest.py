"""Tests of rules wait for no count."""

import pytest


@pytest.fixture(autouse=True)
def _at_once(count_at_once: None) -> None:
    """What a count may take of a core is the reader's subject."""
