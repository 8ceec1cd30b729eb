"""Which panels the trends of a view have, from a recorded history."""

import re
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dash_app.history.writer import History
from dash_app.model.event import Event
from dash_app.model.incident import Incident
from dash_app.model.measure import Answer, Measure, Value
from dash_app.model.snapshot import DatabaseState, Snapshot
from dash_app.page.charts import Panel
from dash_app.page.markup import draw
from dash_app.page.trends import Trends
from dash_app.rules.measures import measure_reports
from dash_app.settings import Settings
from dash_app.settings.schema import DatabaseSettings, HistorySettings
from tests.factories import NOW, database, snapshot

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours of email, whose table runs grew two hours ago, and the start of new."""
    path = tmp_path_factory.mktemp("trends") / "history.db"
    with closing(History(HistorySettings(path=path))) as history:
        for minutes in range(180, -1, -1):
            runs = 5 if minutes > 120 else 6
            history.record(snapshot(NOW - minutes * MINUTE, email={"runs": runs, "tasks": 9}))
        history.record(snapshot(NOW, email={"runs": 6, "tasks": 9}, new={"tasks": 1}))
        added = {"objects": ["table x"]}
        event = Event("email", "schema_changed", NOW - HOUR, {"objects": []}, added)
        state = DatabaseState("connected", None, NOW, None)
        history.store_state(database(), state, [event])
        fault = Incident("email:gone", ("email",), "file_missing", "fault", "Email: Gone.", "", NOW)
        history.incidents.store([replace(fault, since=NOW - HOUR / 2, ended_at=NOW)])
    return path


def trends(
    path: Path, names: list[str], shown: Snapshot | None, search: str = "", view: str | None = None
) -> Trends:
    """The trends of these databases at NOW."""
    databases = tuple(DatabaseSettings(name=name, path=Path(f"/srv/{name}.db")) for name in names)
    settings = Settings(history=HistorySettings(path=path), databases=databases)
    return Trends(settings, shown, view, search, NOW)


def note(panel: Panel) -> str:
    """The text of a panel's note."""
    return "".join(part if isinstance(part, str) else draw(part) for part in panel.note)


def test_a_database_with_nothing_to_draw_has_a_line_instead(path: Path) -> None:
    email, new, never = trends(path, ["email", "new", "never"], None).panels()
    assert email.note == ()
    assert email.since is not None
    (short,) = trends(path, ["email"], None, "range=1h").panels()
    assert (email.since.timestamp(), short.since) == ((NOW - 3 * HOUR).timestamp(), None)
    assert "watching since <time" in note(new)
    assert note(new).endswith("</time>. The line starts with the next change.")
    assert note(never) == "nothing read yet"


def test_faults_and_changes_are_marked(path: Path) -> None:
    (email,) = trends(path, ["email"], None).panels()
    assert email.marks == (
        (NOW - HOUR / 2, "sign-fault", "Gone."),
        (NOW - HOUR, "sign-change", "Schema changed: + table x"),
    )


def test_tables_without_new_rows_have_a_line_instead(path: Path) -> None:
    shown = snapshot(NOW, email={"runs": 6, "tasks": 9})
    view = trends(path, ["email"], shown, "range=6h", "email")
    assert [(panel.name, note(panel)) for panel in view.panels()] == [
        ("runs", ""),
        ("tasks", "no row in 6 h"),
    ]
    tasks, runs = replace(view, search="range=6h&show=rows").panels()
    assert (tasks.name, runs.name, tasks.note, runs.note) == ("tasks", "runs", (), ())
    _, runs = replace(view, search="range=1h").panels()
    assert note(runs).startswith("no row in 1 h, last: <time")


def test_of_many_databases_twelve_have_a_chart_those_in_trouble_first(path: Path) -> None:
    names = [f"db-{number}" for number in range(14)]
    rows: dict[str, dict[str, int | None] | None] = {name: {"tasks": 1} for name in names}
    shown = snapshot(NOW, **(rows | {"db-13": None}))
    many = trends(path, names, shown)
    assert [panel.name for panel in many.panels()] == ["db-13", *names[:11]]
    assert many.notes == ("12 of 14, those in trouble first. Filter by name for others.",)
    assert [panel.name for panel in replace(many, search="name=db-1").panels()] == [
        "db-13",
        "db-1",
        "db-10",
        "db-11",
        "db-12",
    ]
    found = replace(many, search="name=db-")
    assert found.notes == many.notes
    assert replace(many, search="name=DB-1").notes == ()
    few = trends(path, names[2:], shown)
    assert ([panel.name for panel in few.panels()], few.notes) == (names[2:], ())


def test_the_default_range_is_as_long_as_the_history_of_the_view(path: Path) -> None:
    names = ["email", "new"]
    assert trends(path, names, None).choice.range.key == "6h"
    assert trends(path, names, None, view="new").choice.range.key == "1h"


def measured(at: datetime, number: float, *labels: str, unit: str = "USD") -> Snapshot:
    """Email with a pinned measure of one number, and one with a value for each label."""
    cost = Measure("cost", "Cost", MINUTE, sql="x", unit=unit, is_pinned=True)
    states = Measure("states", "States", MINUTE, sql="x")
    values = tuple(Value(label, number + place) for place, label in enumerate(labels))
    answers = {"cost": Answer((Value(None, number),), at), "states": Answer(values, at)}
    watched = replace(database(), measures=(states, cost))
    (status,) = snapshot(at, email={"tasks": 9}).databases
    reports = measure_reports(watched, answers, at)
    return Snapshot(at, (replace(status, database=watched, measures=reports),))


@pytest.fixture(scope="module")
def measures_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour and a half of email's measures; the value of the label old ended half-way."""
    path = tmp_path_factory.mktemp("measures") / "history.db"
    with closing(History(HistorySettings(path=path))) as history:
        for minutes in range(90, -1, -1):
            labels = ("open", "done", "old") if minutes > 45 else ("open", "done")
            history.record(measured(NOW - minutes * MINUTE, 2.5 - minutes / 100, *labels))
    return path


def chart_texts(view: Trends) -> list[str]:
    """Title and value of each chart, as they are drawn."""
    drawn, _ = view.draw(ZoneInfo("UTC"))
    heads = [part.to_plotly_json()["props"]["children"][0].html for part in drawn]
    return [" ".join(re.sub("<[^>]+>", " ", unescape(head)).split()) for head in heads]


def test_the_overview_draws_the_pinned_measures(measures_path: Path) -> None:
    shown = measured(NOW, 3.5, "open", "done")
    view = trends(measures_path, ["email"], shown, "show=measures&range=1h")
    assert chart_texts(view) == ["Email · Cost 3.5 USD · +1.6 USD in 1 h"]
    assert 'aria-current="true">Measures</a>' in draw(view.links)
    without = trends(measures_path, ["email"], snapshot(NOW, email={"tasks": 9}), "show=measures")
    assert not without.choice.is_measure


def test_a_view_draws_a_measure_with_its_labels_also_those_that_are_gone(
    measures_path: Path,
) -> None:
    shown = measured(NOW, 3.5, "open", "done")
    view = trends(measures_path, ["email"], shown, "show=measure:states&range=1h", "email")
    open_, done, old = chart_texts(view)
    assert open_ == "open 3.5 · +1.6 in 1 h"
    assert done.startswith("done 4.5 · +1.6")
    assert old.startswith("old +0.1")
    html = "".join(str(part) for part in view.draw(ZoneInfo("UTC")))
    assert "metric=measure%3Astates" in html
    both = replace(view, search="show=measures&range=1h")
    assert [text.split(" 3")[0] for text in chart_texts(both)][:2] == ["Cost", "States: open"]


def test_of_many_values_twelve_have_a_chart(measures_path: Path) -> None:
    labels = [f"l{number}" for number in range(20)]
    shown = measured(NOW, 3.5, *labels)
    view = trends(measures_path, ["email"], shown, "show=measures", "email")
    assert len(view.panels()) == 12
    assert view.notes == ("12 of 14 values. Choose a measure for others.",)
    one = replace(view, search="show=measure:states")
    assert (one.notes, one.panels()[-1].label) == ((), "others")
