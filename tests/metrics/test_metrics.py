"""`/metrics`: Prometheus reads the values of the snapshot, for any name of a table."""

import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser

from dash_app import VERSION
from dash_app.metrics.exposition import MAX_LABEL_CHARACTERS, label
from dash_app.model.reading import Reading, TableCount
from dash_app.model.snapshot import DatabaseStatus
from tests import factories
from tests.factories import NOW, database
from tests.harness import LiveWriter, Served, eventually, make_database, prometheus, write_config
from tests.metrics.helpers import exposed, parsed, registry_over, value

HOSTILE = st.text(st.characters(codec=None), max_size=60) | st.sampled_from(
    ['"', "\\", "\n", '\\"\n', "\r", "\0", "\ud800", "x" * 10_000, "", "\u2028", "{}", "#"]
)

TOKEN = {"Authorization": "Bearer secret"}


def status(tables: Mapping[str, TableCount], **fields: Any) -> DatabaseStatus:
    return factories.status(database(), Reading(NOW, NOW, tables=tables, **fields))


@given(st.dictionaries(HOSTILE, st.integers(0, 2**53), max_size=20))
def test_no_table_name_breaks_the_exposition(tables: dict[str, int]) -> None:
    counts = {name: TableCount(rows, NOW) for name, rows in tables.items()}
    registry = registry_over(status(counts))
    samples = parsed(generate_latest(registry).decode())
    read = {
        dict(labels)["table"]: rows
        for (name, labels), rows in samples.items()
        if name == "mission_control_table_rows"
    }
    assert read == {label(name): rows for name, rows in tables.items()}
    assert all(len(name) <= MAX_LABEL_CHARACTERS + 13 for name in read)
    text = openmetrics.generate_latest(registry).decode()
    families = openmetrics_parser.text_string_to_metric_families(text)
    assert "mission_control_table_rows" in {family.name for family in families}


def test_shortened_labels_stay_different() -> None:
    names = ["x" * 10_000 + end for end in "ab"]
    assert len({label(name) for name in names}) == 2
    assert label("\ud800") != label("\\ud800")
    assert label("tasks") == "tasks"


def test_an_unknown_value_has_no_sample() -> None:
    samples = exposed(status({"big": TableCount(None, NOW, error="budget")}))
    assert value(samples, "table_rows", database="email", table="big") is None
    assert value(samples, "database_wal_bytes", database="email") is None
    assert value(samples, "database_tables_uncounted", database="email") == 1


def test_an_estimate_has_a_sample_of_its_own() -> None:
    counts = {
        "exact": TableCount(3, NOW),
        "about": TableCount(4, NOW, estimate="about"),
        "most": TableCount(5, NOW, estimate="at_most"),
    }
    samples = exposed(status(counts))
    read = {
        table: [
            value(samples, f"table_rows{end}", database="email", table=table)
            for end in ("", "_estimated", "_at_most")
        ]
        for table in counts
    }
    assert read == {"exact": [3, 0, None], "about": [4, 1, None], "most": [None, None, 5]}
    assert value(samples, "database_rows", database="email") == 7


def test_tables_beyond_the_limit_are_only_counted() -> None:
    counts = {f"t{number:03}": TableCount(1, NOW) for number in range(50)}
    samples = exposed(status(counts), max_tables=7)
    tables = {dict(labels).get("table") for _, labels in samples} - {None}
    assert tables == {f"t{number:03}" for number in range(7)}
    assert value(samples, "tables_left_out", database="email") == 43
    assert value(samples, "database_rows", database="email") == 50


def test_before_the_first_snapshot_there_are_only_metrics_of_the_service() -> None:
    samples = exposed()
    assert value(samples, "build_info", version=VERSION) == 1
    assert value(samples, "tick_duration_seconds_count") == 0
    assert value(samples, "snapshot_timestamp_seconds") is None


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("metrics")
    token = folder / "token"
    token.write_text("secret\n")
    token.chmod(0o600)
    with LiveWriter(make_database(folder / "email.db", messages=3)) as writer:
        writer.do('CREATE TABLE "a ""quoted""\\ \n name" (x)')
        (folder / "broken.db").write_text("hello " * 100)
        names = ("email", "late", "broken")
        paths = {name: folder / f"{name}.db" for name in names}
        server = f'token_file = "{token}"'
        with Served(write_config(folder, paths.items(), server=server)) as served:
            yield served


def scrape(served: Served, **headers: str) -> str:
    code, text = served.get("/metrics", TOKEN | headers)
    assert code == 200
    return text


def test_the_metrics_of_a_service_match_its_json(served: Served) -> None:
    eventually(lambda: served.json("/api/db-status", TOKEN)["connected"] == 1)
    samples = parsed(scrape(served))
    hostile = 'a "quoted"\\ \n name'
    assert value(samples, "table_rows", database="email", table="messages") == 3
    assert value(samples, "table_rows", database="email", table=hostile) == 0
    assert value(samples, "database_status", database="email", status="connected") == 1
    assert value(samples, "database_status", database="late", status="connected") == 0
    assert value(samples, "database_level", database="broken", level="fault") == 1
    assert value(samples, "database_error", database="broken", code="not_a_database") == 1
    assert value(samples, "database_rows", database="broken") is None
    assert (value(samples, "database_wal_bytes", database="email") or 0) > 0
    assert samples[("process_resident_memory_bytes", ())] > 10_000_000
    written = value(samples, "database_last_write_timestamp_seconds", database="email")
    assert written is not None
    assert abs(datetime.now(UTC).timestamp() - written) < timedelta(minutes=5).total_seconds()
    assert not any(name.endswith("_created") for name, _ in samples)


def test_metrics_need_the_token(served: Served) -> None:
    assert served.get("/metrics")[0] == 401


def test_a_client_may_request_openmetrics(served: Served) -> None:
    text = scrape(served, Accept="application/openmetrics-text;version=1.0.0")
    assert text.endswith("# EOF\n")
    assert list(openmetrics_parser.text_string_to_metric_families(text))


def test_promtool_finds_no_problem(served: Served) -> None:
    done = subprocess.run(
        [prometheus("promtool"), "check", "metrics"],
        input=scrape(served),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
