"""The API is described, wholly and truly: by types, by examples, by what a fuzzer gets to see."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from dash_app import settings
from dash_app.api import examples, openapi, parameters, route_docs
from dash_app.api.routes import DESCRIPTION as FILE
from dash_app.history.writer import History
from dash_app.model.notification import NotificationKind
from dash_app.sampler import Sampler
from dash_app.web.app import create_server
from tests.contract import DESCRIPTION, resolved, validator
from tests.factories import AWKWARD_TABLE_NAMES
from tests.harness import ROOT, Served, make_database, write_config

TOKEN = {"Authorization": "Bearer s3cret"}


def test_the_file_is_what_the_types_say_now() -> None:
    assert FILE.read_text(encoding="utf-8") == openapi.as_text()


def test_the_service_loads_no_word_of_the_description() -> None:
    code = "import dash_app.service.service, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    parts = {name for name in done.stdout.split() if name.startswith("dash_app.api.")}
    known = ("csv_export", "parameters", "responses", "routes", "serializers", "times")
    assert parts == {f"dash_app.api.{part}" for part in known}


def test_it_is_openapi() -> None:
    OPENAPI_31_VALIDATOR.validate(DESCRIPTION)


def test_every_route_for_machines_is_described(tmp_path: Path) -> None:
    loaded = settings.load(write_config(tmp_path, [("a", make_database(tmp_path / "a.db", a=1))]))
    with closing(History(loaded.history)) as history:
        app = create_server(loaded, Sampler(loaded, history), datetime.now(UTC))
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    for_machines = {rule for rule in rules if re.match(r"/(api/|health|glance|metrics)", rule)}
    assert for_machines == set(parameters.QUERIES) == set(route_docs.ROUTES)


def named(one: Any, key: str) -> Iterator[Any]:
    """Every value of a key, wherever it stands."""
    if isinstance(one, dict):
        yield from ([one[key]] if key in one else [])
        one = list(one.values())
    if isinstance(one, list):
        for part in one:
            yield from named(part, key)


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    references = set(named(DESCRIPTION, "$ref"))
    assert all(resolved({"$ref": reference}) for reference in references)
    for kind in ("schemas", "parameters", "headers", "responses"):
        for name in DESCRIPTION["components"][kind]:
            assert f"#/components/{kind}/{name}" in references, name


def test_every_answer_in_json_has_an_example_that_is_one() -> None:
    contents = list(named(DESCRIPTION, "content"))
    documents = [one["application/json"] for one in contents if "application/json" in one]
    assert len(documents) > len(route_docs.ROUTES)
    for document in documents:
        validator(document["schema"].get("$ref")).validate(document["example"])


def test_the_example_of_a_message_has_a_kind_that_there_is() -> None:
    """The schema lets later versions add kinds, so that any text would fit it."""
    kinds = {
        message["kind"] for one in examples.INCIDENTS["incidents"] for message in one["messages"]
    }
    assert kinds <= set(get_args(NotificationKind))


def test_every_parameter_is_in_words_and_has_an_example_or_values_to_choose() -> None:
    for one in DESCRIPTION["components"]["parameters"].values():
        schema = resolved(one["schema"])
        if "items" in schema:
            schema = schema | resolved(schema["items"])
        assert one["description"].endswith(".")
        assert {"examples", "enum", "default"} & schema.keys(), one["name"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Databases with hostile table names, one that is not there and one that is none; a token."""
    folder = tmp_path_factory.mktemp("openapi")
    with closing(sqlite3.connect(folder / "hostile.db", isolation_level=None)) as connection:
        for name in AWKWARD_TABLE_NAMES:
            quoted = name.replace('"', '""')
            connection.execute(f'CREATE TABLE "{quoted}" (x)')
            connection.execute(f'INSERT INTO "{quoted}" VALUES (1)')
    (folder / "broken.db").write_text("hello " * 100)
    (folder / "token").write_text("s3cret\n")
    (folder / "token").chmod(0o600)
    names = ("hostile", "late", "broken")
    config = write_config(
        folder,
        [(name, folder / f"{name}.db") for name in names],
        server=f"token_file = {json.dumps(str(folder / 'token'))}",
    )
    with Served(config) as served:
        yield served


def test_what_is_served_names_what_is_configured(served: Served) -> None:
    found = json.loads(served.get("/api/openapi.json", TOKEN)[1])
    assert found["components"]["schemas"]["DatabaseName"]["enum"] == ["hostile", "late", "broken"]
    assert (found["security"], DESCRIPTION["security"]) == ([{"token": []}], [{"token": []}, {}])
    assert found["paths"] == DESCRIPTION["paths"]


def test_schemathesis_finds_nothing(served: Served) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    options = ["--config-file", "tests/schemathesis.toml", "run"]
    header = ["--header", f"Authorization: {TOKEN['Authorization']}"]
    done = subprocess.run(
        [program, *options, f"{served.url}/api/openapi.json", *header],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout
    # It leaves out the route that it takes the description from.
    assert f"Tested: {len(route_docs.ROUTES) - 1}" in done.stdout
    generated = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert generated is not None
    assert int(generated[1]) == int(generated[2]) > 500
    assert "ERROR" not in served.log
