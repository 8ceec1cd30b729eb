"""A real Prometheus with real services accepts the files in ops/ for it and for Grafana."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.harness import (
    PATIENCE_SECONDS,
    ROOT,
    LiveWriter,
    Served,
    eventually,
    free_port,
    make_database,
    prometheus,
    write_config,
)

FILES = ROOT / "ops" / "prometheus"
MACHINES = ("here", "attic", "cellar")
TOKEN = "a token"
DASHBOARD = json.loads((ROOT / "ops" / "grafana" / "mission-control.json").read_text())
VARIABLES = {"$host": ".*", "$database": ".*", "$measure": ".*", "$__rate_interval": "1m"}
METRIC = re.compile(r"\b(?:mission_control|process)_\w+|\bup\b")


def promtool(*arguments: str | Path) -> str:
    """Run promtool, which must succeed; return its output."""
    done = subprocess.run(
        [prometheus("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A real Prometheus with the configuration for a fleet."""

    def __init__(self, folder: Path) -> None:
        self._url = f"http://127.0.0.1:{free_port()}"
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [
                prometheus("prometheus"),
                f"--config.file={folder / 'fleet.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self._url.removeprefix('http://')}",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        eventually(self._is_ready)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=1) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def query(self, expression: str) -> dict[str, float]:
        """Return the values of an expression by machine."""
        url = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as response:
            answer: Any = json.load(response)
        return {
            sample["metric"].get("instance", ""): float(sample["value"][1])
            for sample in answer["data"]["result"]
        }

    def await_values(self, expression: str, values: dict[str, float]) -> None:
        """Wait until an expression has these values by machine."""
        eventually(lambda: self.query(expression) == values)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)
        self._log.close()


class Fleet(NamedTuple):
    prometheus: Prometheus
    services: dict[str, Served]
    writer: LiveWriter


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three services, a writer on the first, and a Prometheus that scrapes them every second."""
    folder = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        services = {name: stack.enter_context(serve(folder / name)) for name in MACHINES}
        writer = stack.enter_context(LiveWriter(folder / "here" / "email.db"))
        shutil.copytree(FILES, folder / "prometheus")
        configure(folder / "prometheus", services)
        server = Prometheus(folder / "prometheus")
        stack.callback(server.stop)
        yield Fleet(server, services, writer)


def serve(folder: Path) -> Served:
    database = make_database(folder / "email.db", messages=3)
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    server = f"token_file = {json.dumps(str(folder / 'token'))}"
    config = write_config(folder, [("email", database)], server=server)
    with config.open("a") as file:
        file.write(
            '\n[[databases.measures]]\nname = "unread"\nsql = "SELECT max(id) FROM messages"\n'
        )
    return Served(config)


def configure(folder: Path, services: dict[str, Served]) -> None:
    """Add the token and the machines to the configuration, and shorten its interval."""
    config = folder / "fleet.yml"
    config.write_text(re.sub(r"interval: 15s", "interval: 1s", config.read_text()))
    (folder / "mission-control.token").write_text(TOKEN)
    machines = [
        {"targets": [f"127.0.0.1:{served.port}"], "labels": {"instance": name}}
        for name, served in services.items()
    ]
    (folder / "hosts" / "example.yml").write_text(json.dumps(machines))


@pytest.mark.parametrize("name", ["prometheus.yml", "fleet.yml"])
def test_promtool_accepts_the_configurations(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(FILES, tmp_path / "prometheus")
    (folder / "mission-control.token").write_text(TOKEN)
    assert "is valid prometheus config file" in promtool("check", "config", folder / name)


def test_the_rules_fire_as_described() -> None:
    promtool("check", "rules", "--lint-fatal", FILES / "rules.yml", FILES / "table.yml")
    assert "SUCCESS" in promtool("test", "rules", ROOT / "tests" / "prometheus_rules.yml")


def test_each_rule_is_tested() -> None:
    tested = (ROOT / "tests" / "prometheus_rules.yml").read_text()
    rules = [path.read_text() for path in (FILES / "rules.yml", FILES / "table.yml")]
    names = re.findall(r"- (?:alert|record): (\S+)", "".join(rules))
    assert len(names) > 5
    assert [name for name in names if name not in tested] == []


def test_prometheus_answers_how_many_rows_a_writer_wrote(fleet: Fleet) -> None:
    rows = 'mission_control_table_rows{database="email", table="messages"}'
    unread = 'mission_control_measure_value{database="email", measure="unread"}'
    for expression in (rows, unread):
        fleet.prometheus.await_values(expression, dict.fromkeys(MACHINES, 3.0))
    for number in range(4):
        fleet.writer.do(f"INSERT INTO messages (text) VALUES ('{number}')")
    fleet.prometheus.await_values(rows, {"here": 7, "attic": 3, "cellar": 3})
    grown = f"max_over_time({rows}[5m]) - min_over_time({rows}[5m])"
    assert fleet.prometheus.query(f"{grown} > 0") == {"here": 4}


def test_prometheus_answers_which_host_went_silent(fleet: Fleet) -> None:
    silent = 'up{job="mission-control"} == 0'
    fleet.prometheus.await_values('up{job="mission-control"} == 1', dict.fromkeys(MACHINES, 1.0))
    fleet.prometheus.await_values(silent, {})
    fleet.services["cellar"].stop()
    fleet.prometheus.await_values(silent, {"cellar": 0})
    pending = 'ALERTS{alertname="MissionControlHostSilent", alertstate="pending"}'
    fleet.prometheus.await_values(pending, {"cellar": 1})
    build = "mission_control_build_info"
    eventually(lambda: set(fleet.prometheus.query(build)) == {"here", "attic"})


def expressions() -> list[str]:
    """Return every expression of the dashboard with its variables filled in."""
    expanded = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    for name, text in VARIABLES.items():
        expanded = [expression.replace(name, text) for expression in expanded]
    return expanded


def test_the_dashboard_survives_grafanas_own_model() -> None:
    plugins.register_default_plugins()
    model = Dashboard.from_json(json.loads(json.dumps(DASHBOARD)))
    assert lost(DASHBOARD, json.loads(JSONEncoder().encode(model))) == []


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the paths of values that a copy of a document lacks or changed."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            lost_path
            for key, value in before.items()
            for lost_path in lost(value, after.get(key), f"{path}.{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [lost_path for n, (a, b) in pairs for lost_path in lost(a, b, f"{path}[{n}]")]
    return [] if before == after else [path]


def test_the_dashboard_has_variables_for_host_and_database() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "host", "database", "measure"]
    for panel in DASHBOARD["panels"]:
        assert all("$host" in target["expr"] for target in panel["targets"]), panel["title"]


def test_prometheus_understands_each_expression_of_the_dashboard(fleet: Fleet) -> None:
    for expression in expressions():
        fleet.prometheus.query(expression)


def test_each_metric_of_dashboard_and_rules_is_exposed(fleet: Fleet) -> None:
    """Metrics that are absent while all is well have at least a HELP line."""
    status, exposed = fleet.services["here"].get("/metrics", {"Authorization": f"Bearer {TOKEN}"})
    assert status == 200
    known = set(re.findall(r"^# HELP (\S+)", exposed, re.MULTILINE)) | {"up"}
    rules = "".join((FILES / name).read_text() for name in ("rules.yml", "table.yml"))
    queries = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"][1:]]
    in_rules = re.sub(r"^ *- record:.*", "", rules, flags=re.MULTILINE)
    named = set(METRIC.findall("".join([*expressions(), *queries, in_rules])))
    assert len(named) > 15
    assert {
        re.sub(r"_duration_seconds_(sum|count)$", "_duration_seconds", name) for name in named
    } <= known
