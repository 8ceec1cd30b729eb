"""`openapi.json` describes the API as it is: its types, its examples, and what a fuzzer sees."""

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
from prometheus_client import CollectorRegistry, generate_latest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from dash_app import settings
from dash_app.api import examples, openapi, parameters, route_docs
from dash_app.api.routes import DESCRIPTION as FILE
from dash_app.history.writer import History
from dash_app.metrics.exposition import Exposition
from dash_app.model.notification import NotificationKind
from dash_app.sampler import Sampler
from dash_app.web.app import create_server
from tests.contract import DESCRIPTION, JSON, resolved, validator
from tests.factories import AWKWARD_TABLE_NAMES
from tests.harness import ROOT, Served, make_database, write_config

TOKEN = {"Authorization": "Bearer s3cret"}


def test_the_file_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == openapi.as_text()


def test_the_service_does_not_load_the_description() -> None:
    code = "import dash_app.service.service, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name for name in done.stdout.split() if name.startswith("dash_app.api.")}
    allowed = ("csv_export", "parameters", "responses", "routes", "serializers")
    assert loaded == {f"dash_app.api.{name}" for name in allowed}


def test_the_file_is_valid_openapi() -> None:
    OPENAPI_31_VALIDATOR.validate(DESCRIPTION)


def test_every_route_for_machines_is_described(tmp_path: Path) -> None:
    loaded = settings.load(write_config(tmp_path, [("a", make_database(tmp_path / "a.db", a=1))]))
    with closing(History(loaded.history)) as history:
        app = create_server(loaded, Sampler(loaded, history), datetime.now(UTC))
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    for_machines = {rule for rule in rules if re.match(r"/(api/|health|glance|metrics)", rule)}
    assert for_machines == set(parameters.PARAMETERS) == set(route_docs.ROUTES)


def values_of(key: str, within: Any) -> Iterator[Any]:
    """Every value of a key, at any depth."""
    if isinstance(within, dict):
        yield from ([within[key]] if key in within else [])
        within = list(within.values())
    if isinstance(within, list):
        for part in within:
            yield from values_of(key, part)


def test_every_reference_resolves_and_every_component_is_used() -> None:
    references = set(values_of("$ref", DESCRIPTION))
    assert all(resolved({"$ref": reference}) for reference in references)
    for kind in ("schemas", "parameters", "headers", "responses"):
        for name in DESCRIPTION["components"][kind]:
            assert f"#/components/{kind}/{name}" in references, name


def test_every_json_response_has_a_valid_example() -> None:
    contents = list(values_of("content", DESCRIPTION))
    documents = [content[JSON] for content in contents if JSON in content]
    assert len(documents) > len(route_docs.ROUTES)
    for document in documents:
        validator(document["schema"].get("$ref")).validate(document["example"])


def test_the_example_of_a_message_has_a_known_kind() -> None:
    """The schema lets later versions add kinds, so it accepts any string."""
    kinds = {
        message["kind"]
        for incident in examples.INCIDENTS["incidents"]
        for message in incident["messages"]
    }
    assert kinds
    assert kinds <= set(get_args(NotificationKind))


def test_the_example_of_the_metrics_is_that_of_the_snapshot() -> None:
    registry = CollectorRegistry()
    registry.register(Exposition(lambda: examples.SNAPSHOT, 200))
    assert examples.METRICS in generate_latest(registry).decode()


def test_every_parameter_has_a_description_and_an_example_or_its_values() -> None:
    for parameter in DESCRIPTION["components"]["parameters"].values():
        schema = resolved(parameter["schema"])
        if "items" in schema:
            schema = schema | resolved(schema["items"])
        assert parameter["description"].endswith(".")
        assert {"examples", "enum", "default"} & schema.keys(), parameter["name"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with a token and three databases: hostile table names, no file, not a database."""
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


def test_the_served_description_has_the_configured_databases(served: Served) -> None:
    description = json.loads(served.get("/api/openapi.json", TOKEN)[1])
    assert description["components"]["schemas"]["DatabaseName"]["enum"] == [
        "hostile",
        "late",
        "broken",
    ]
    assert (description["security"], DESCRIPTION["security"]) == (
        [{"token": []}],
        [{"token": []}, {}],
    )
    assert description["paths"] == DESCRIPTION["paths"]


def test_schemathesis_finds_no_problem(served: Served) -> None:
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
    # It does not test the route of the description itself.
    assert f"Tested: {len(route_docs.ROUTES) - 1}" in done.stdout
    generated = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert generated is not None
    assert int(generated[1]) == int(generated[2]) > 500
    assert "ERROR" not in served.log
