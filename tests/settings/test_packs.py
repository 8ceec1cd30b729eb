"""Each pack fits databases of its program alone, and its measures answer as they should."""

import sqlite3
import tomllib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dash_app.airlock.measurer import Measurer
from dash_app.model.database import Database
from dash_app.model.measure import AGE
from dash_app.model.reading import Reading
from dash_app.model.schema import Schema
from dash_app.reader.schema import describe_tables
from dash_app.settings.measures import MeasureSettings, check_measures
from dash_app.settings.packs import FOLDER, Pack, packs
from dash_app.system.decoding import decode_parsed
from tests.harness import PATIENCE_SECONDS, execute
from tests.pack_databases import DATABASES, make_pack_database

PACKS = {pack.name: pack for pack in packs()}
NAMES = pytest.mark.parametrize("name", sorted(DATABASES))


def measures(pack: Pack) -> tuple[MeasureSettings, ...]:
    return tuple(MeasureSettings.model_validate(tomllib.loads(text)) for text in pack.measures)


def schema_of(path: Path) -> Schema:
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        return decode_parsed(Schema, describe_tables(connection))


def test_there_is_a_database_for_each_pack() -> None:
    assert sorted(PACKS) == sorted(DATABASES) == sorted(path.stem for path in FOLDER.iterdir())


@NAMES
def test_the_text_of_a_pack_is_its_measures(name: str) -> None:
    """They are copied as text, so that no comment or setting may belong to another one."""
    pack = PACKS[name]
    settings = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    assert [tomllib.loads(text) for text in pack.measures] == settings["measures"]
    assert settings.keys() == {"title", "source", "tables", "measures"}
    assert settings["source"].startswith("https://")
    check_measures(measures(pack))


@NAMES
def test_the_measures_of_a_pack_answer_as_they_should(name: str, tmp_path: Path) -> None:
    path = make_pack_database(tmp_path / "anything.db", name)
    own = measures(PACKS[name])
    database = Database("a", "A", path, measures=tuple(one.measure for one in own))
    at, expected = datetime.now(UTC), dict(DATABASES[name].expected)
    with closing(Measurer([database], 1.0, {})) as measurer:
        measurer.finish({"a": Reading(at, at)}, PATIENCE_SECONDS)
        answers = measurer.answers("a")
    assert {one: answer.failure for one, answer in answers.items() if answer.failure} == {}
    for measure in database.measures:
        values = {value.label: value.number for value in answers[measure.name].values}
        if measure.unit == AGE:
            values = {None: round((at.timestamp() - (values[None] or 0)) / 3600, 2)}
        wanted = expected.pop(measure.name)
        assert values == (wanted if isinstance(wanted, dict) else {None: wanted}), measure.name
    assert expected == {}


@NAMES
def test_a_pack_is_recognized_by_all_of_its_tables_and_columns(name: str, tmp_path: Path) -> None:
    schema = schema_of(make_pack_database(tmp_path / "a.db", name))
    assert [pack.name for pack in packs() if pack.fits(schema)] == [name]
    for table, columns in PACKS[name].tables.items():
        tables = dict(schema.tables)
        del tables[table]
        assert not PACKS[name].fits(Schema(tables))
        for column in columns:
            fewer = {kept: kind for kept, kind in schema.tables[table].items() if kept != column}
            assert not PACKS[name].fits(Schema({**schema.tables, table: fewer}))


def test_views_are_no_tables_of_a_pack(tmp_path: Path) -> None:
    """They are not read either: SQLite would need forever to prepare these."""
    path = tmp_path / "a.db"
    bomb = [
        f"CREATE VIEW v{number} AS SELECT a.* FROM v{number - 1} AS a JOIN v{number - 1}"
        for number in range(1, 60)
    ]
    names = PACKS["django-sessions"].tables["django_session"]
    columns = ", ".join(f"'x' AS {name}" for name in names)
    view = "CREATE VIEW django_session AS SELECT * FROM v59"
    execute(path, "CREATE TABLE t (x)", f"CREATE VIEW v0 AS SELECT {columns}", *bomb, view)
    schema = schema_of(path)
    assert list(schema.tables) == ["t"]
    assert [pack.name for pack in packs() if pack.fits(schema)] == []
