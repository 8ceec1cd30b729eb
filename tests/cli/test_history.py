"""`history` and `events`, and the script in the documents of the API."""

import csv
import io
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dash_app.cli.history import summarize
from dash_app.history.series import Series
from dash_app.history.writer import History
from dash_app.model.event import Event
from dash_app.model.measure import AGE, Measure
from dash_app.settings.schema import HistorySettings
from tests.cli.helpers import environment, output_lines, run, usage_error
from tests.factories import database
from tests.harness import ROOT, Served, eventually, execute, make_database, write_config

NOW = datetime.now(UTC).replace(microsecond=0)
EVENT = Event("email", "rows_dropped", NOW, {"rows": {"tasks": 126}}, {"rows": {"tasks": 0}})
OLDER = Event("other", "gone", NOW - timedelta(days=2), {}, {}, ended_at=NOW - timedelta(days=1))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    databases = [("email", tmp_path / "email.db"), ("other", tmp_path / "other.db")]
    return write_config(tmp_path, databases, history='every = "1s"')


@pytest.fixture
def recorded(tmp_path: Path, config: Path) -> Path:
    """A configuration whose history has an hour of two databases, and two events."""
    history = History(HistorySettings(path=tmp_path / "history.db"))
    history.backfill(
        [
            (name, "tasks", NOW - timedelta(minutes=ago), rows, 60 - ago)
            for ago, rows in ((60, 100), (40, 1250), (20, 90), (0, 124))
            for name in ("email", "formerly_watched", "other")
        ],
        [OLDER, EVENT],
    )
    history.close()
    return config


def test_history_summarizes_each_table(tmp_path: Path, recorded: Path) -> None:
    assert output_lines(tmp_path, "history", "--config", recorded, "--from", "2h") == [
        "DATABASE  TABLE  LAST  MIN    MAX  CHANGE",
        "email     tasks   124   90  1,250     +24",
        "other     tasks   124   90  1,250     +24",
    ]
    only = ("--database", "email", "--table", "tasks", "--metric", "inserted")
    assert output_lines(tmp_path, "history", "--config", recorded, *only) == [
        "DATABASE  TABLE  WRITTEN",
        "email     tasks       60",
    ]
    assert output_lines(tmp_path, "history", "--config", recorded, "--table", "none") == [
        "Nothing recorded."
    ]


def test_history_as_csv_has_every_value(tmp_path: Path, recorded: Path) -> None:
    window = ("--from", (NOW - timedelta(hours=2)).isoformat(), "--to", NOW.isoformat())
    lines = output_lines(
        tmp_path, "history", "--config", recorded, "--csv", "--database", "email", *window
    )
    head, *rows = csv.reader(io.StringIO("\n".join(lines)))
    assert head == ["time", "database", "table", "metric", "unit", "value", "label"]
    assert {tuple(row[1:5]) for row in rows} == {("email", "tasks", "rows", "rows")}
    assert list(dict.fromkeys(row[5] for row in rows if row[5])) == ["100", "1250", "90", "124"]


def test_the_csv_is_utf_8_in_any_terminal(tmp_path: Path) -> None:
    """The name of a table may have characters that the locale lacks."""
    path = make_database(tmp_path / "email.db", größe=3)
    config = write_config(tmp_path, [("email", path)])
    with Served(config) as served:
        eventually(lambda: "größe" in served.get("/api/history?format=csv")[1])
    done = subprocess.run(
        [sys.executable, "-m", "dash_app", "history", "--csv", "--config", config],
        env={**environment(tmp_path), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "größe" in done.stdout.decode("utf-8")


def test_the_csv_equals_that_of_the_api(tmp_path: Path, recorded: Path) -> None:
    window = {"from": (NOW - timedelta(hours=2)).isoformat(), "to": NOW.isoformat()}
    options = [part for name, value in window.items() for part in (f"--{name}", value)]
    with Served(recorded) as served:
        query = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in window.items())
        body = served.get(f"/api/history?format=csv&database=email&{query}")[1]
        series = served.json("/api/history")["series"]
        assert {one["database"] for one in series} == {"email", "other"}
        command = ("history", "--csv", "--database", "email", *options, "--config", recorded)
        assert run(tmp_path, *command).stdout.splitlines() == body.splitlines()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--database", "nope"), "There is no database 'nope'. Configured: email, other."),
        (("--from", "soon"), "write 24h, 7d or 2026"),
        (("--from", "2026-11-23T15:00:00"), "write 24h, 7d or 2026"),
        (("--from", "999999999d"), "write 24h, 7d or 2026"),
        (("--from", "1h", "--to", "2h"), "--from must be before --to."),
        (("--metric", "size"), "'rows', 'inserted', 'size_bytes'"),
    ],
)
def test_a_usage_error_names_what_is_allowed(
    tmp_path: Path, recorded: Path, options: tuple[str, ...], message: str
) -> None:
    assert message in usage_error(tmp_path, "history", "--config", recorded, *options)


def test_a_missing_history_is_reported_and_not_created(tmp_path: Path, config: Path) -> None:
    for command in ("history", "events"):
        done = run(tmp_path, command, "--config", config)
        assert (done.returncode, done.stdout) == (1, "")
        assert "No history yet at ~/history.db." in done.stderr
    assert not (tmp_path / "history.db").exists()


@pytest.mark.parametrize(
    ("metric", "row"),
    [
        ("size_bytes", ("email", "", "41 kB", "4 kB", "41 kB", "+37 kB")),
    ],
)
def test_sizes_have_units(metric: Any, row: tuple[str, ...]) -> None:
    points = ((1, None), (2, 4_000), (3, 41_000))
    assert summarize([Series("email", None, metric, points)])[1][: len(row)] == row
    unknown = summarize([Series("email", None, metric, ((1, None),))])[1]
    assert unknown == ("email", "", *["unknown"] * 4)


def test_values_of_measures_have_labels_and_units() -> None:
    measures = (
        Measure("cost", "Cost", timedelta(minutes=1), unit="USD"),
        Measure("newest", "Newest", timedelta(minutes=1), unit=AGE),
    )
    watched = [replace(database(), measures=measures)]
    points = ((1, None), (2, 1.5), (3, 0.25))
    cost = [Series("email", None, "measure:cost", points, label=label) for label in ("a", "b")]
    head, *rows = summarize([cost[0], replace(cost[1], points=((1, None),))], watched)
    assert head == ("DATABASE", "LABEL", "LAST", "MIN", "MAX", "CHANGE")
    assert rows == [
        ("email", "a", "0.25 USD", "0.25 USD", "1.5 USD", "−1.25 USD"),
        ("email", "b", *["unknown"] * 4),
    ]
    ages = Series("email", None, "measure:newest", ((1, 60.0), (2, 7260.0)))
    assert summarize([ages], watched)[1] == ("email", "", "2 h", "1 min", "2 h", "+2 h")
    removed = Series("email", None, "measure:removed", ((1, 5.0), (2, 5.0)))
    assert summarize([removed], watched)[1] == ("email", "", "5", "5", "5", "no change")


def test_events_are_listed_newest_first(tmp_path: Path, recorded: Path) -> None:
    newest, oldest = output_lines(tmp_path, "events", "--config", recorded)
    assert newest == f"{NOW:%Y-%m-%d %H:%M} UTC  Email  Emptied: tasks 126 → 0"
    assert oldest == (
        f"{OLDER.at:%Y-%m-%d %H:%M} UTC  Other  Gone (ended {OLDER.ended_at:%Y-%m-%d %H:%M} UTC)"
    )
    assert output_lines(tmp_path, "events", "--config", recorded, "--since", "24h") == [newest]
    assert output_lines(tmp_path, "events", "--config", recorded, "--limit", 1) == [newest]
    assert output_lines(tmp_path, "events", "--config", recorded, "--database", "other") == [oldest]
    (none,) = output_lines(tmp_path, "events", "--config", recorded, "--since", "0s")
    assert none == "No events. Problems, such as late writes: ./ops/run incidents"


def written(served: Served) -> dict[str, int]:
    """Return how many rows were written to each table for which that is known."""
    known = {
        series["table"]: [value for _, value in series["points"] if value is not None]
        for series in served.json("/api/history?metric=inserted")["series"]
    }
    return {table: sum(values) for table, values in known.items() if values}


def test_the_script_in_the_readme_names_tables_that_stopped_growing(
    tmp_path: Path, config: Path
) -> None:
    path = make_database(tmp_path / "email.db", messages=3, tasks=3)
    readme = (ROOT / "dash_app" / "api" / "README.md").read_text()
    script = next(
        block
        for block in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
        if block.startswith("#!/bin/bash")
    )
    assert script.count("\n") <= 10
    with Served(config) as served:
        eventually(lambda: written(served))
        execute(path, "INSERT INTO tasks DEFAULT VALUES")
        eventually(lambda: written(served).get("tasks"))
        variables = {**environment(tmp_path), "MISSION_CONTROL": served.url}
        command = ["bash", "-c", script]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (3, "email,messages\n"), done.stderr
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (
        7,
        "",
    )  # no service: it must not report that all is well
