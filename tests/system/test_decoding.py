"""Values of the model survive JSON, also between versions."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dash_app.model.encoding import encode
from dash_app.model.host_facts import Access, Disk, Holder, Surroundings, WalGrowth
from dash_app.model.reading import Reading, TableCount
from dash_app.system.decoding import decode

NOW = datetime(2026, 11, 23, 14, 2, 0, 123456, tzinfo=UTC)
READING = Reading(
    NOW,
    NOW,
    tables={"tasks": TableCount(3, NOW, "about", rowids=(-(2**63), 2**63 - 1))},
    objects={"column tasks.id": "INTEGER"},
    trail={"rows": [1, None, 2.5]},
    surroundings=Surroundings(
        (Holder(812, "node", ("open", "read"), NOW, NOW),),
        0,
        Disk(1, 2, 3),
        Access("/latin\udce9.db", {"": 0, "-wal": 1000}, "/latin\udce9.db"),
        wal_growth=WalGrowth(NOW, True, "a", None, ("node (pid 812)",)),
    ),
)


def test_a_reading_survives_json() -> None:
    assert decode(Reading, encode(READING)) == READING


def changed(**changes: Any) -> str:
    return json.dumps({**json.loads(encode(READING)), **changes})


def test_unknown_fields_are_ignored_and_missing_ones_have_defaults() -> None:
    older = json.loads(changed(weather="fine"))
    del older["objects"], older["surroundings"]["disk"]
    reading = decode(Reading, json.dumps(older))
    assert (reading.objects, reading.surroundings.disk) == (None, None)
    assert reading.tables == READING.tables


def test_codes_and_kinds_of_later_versions_are_kept() -> None:
    count = {"rows": 3, "counted_at": NOW.isoformat(), "estimate": "sampled"}
    text = changed(code="pages_damaged", tables={"tasks": count})
    reading = decode(Reading, text)
    assert (reading.code, reading.tables["tasks"].estimate) == ("pages_damaged", "sampled")
    assert json.loads(encode(reading))["code"] == "pages_damaged"


@pytest.mark.parametrize("text", ["", "{}", "[]", changed(read_at="yesterday"), changed(tables=3)])
def test_text_that_is_not_a_reading_is_rejected(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any explanation
        decode(Reading, text)
