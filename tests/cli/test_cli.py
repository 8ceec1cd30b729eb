"""The commands, each run in its own process."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from click import Context, Group

from dash_app.cli import MODULES, main
from tests.cli.helpers import environment, run
from tests.harness import (
    PATIENCE_SECONDS,
    ROOT,
    Served,
    eventually,
    free_port,
    make_database,
    other_server,
    write_config,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@contextmanager
def running(home: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "dash_app", *map(str, arguments)]
    with subprocess.Popen(
        command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def output_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Everything that a process prints up to a line that matches."""
    output = ""
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if re.search(pattern, line):
            return output
    raise AssertionError(output)


def test_a_closed_pipe_prints_no_error(home: Path) -> None:
    """As left by `head` once it has its lines."""
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "dash_app", "doctor"]
    with os.fdopen(theirs, "wb") as closed:
        done = subprocess.run(
            command, env=environment(home), stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_internal_error_prints_one_line(home: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, [("email", make_database(tmp_path / "email.db", messages=1))])
    (tmp_path / "waitress.py").write_text('raise RuntimeError("this library is broken")')
    command = [sys.executable, "-m", "dash_app", "--config", str(config), "--port"]
    done = subprocess.run(
        [*command, str(free_port())],
        env=environment(home) | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    expected = "Mission Control failed: RuntimeError('this library is broken') at waitress.py:1\n"
    assert done.stderr.endswith(expected)
    assert "Traceback" not in done.stderr


def test_every_example_in_the_help_is_valid(home: Path) -> None:
    for names in ([], *([name] for name in MODULES)):
        text = run(home, *names, "--help").stdout
        examples = re.findall(r"^ +\./ops/run ?(.*?)(?:  .*| [|>].*)?$", text, re.MULTILINE)
        assert examples, text
        for example in examples:
            name, *arguments = example.split() or ["serve"]
            command = main.get_command(Context(main), name)
            if isinstance(command, Group):
                name, *arguments = arguments
                command = command.get_command(Context(command), name)
            assert command is not None, example
            known = {option for parameter in command.params for option in parameter.opts}
            options = {argument for argument in arguments if argument.startswith("--")}
            assert options <= known, example


def test_a_configuration_error_prints_one_line_without_a_traceback(
    home: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[sampler]\ninterval = "5"\n')
    done = run(home, "--config", config)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        (
            f"{config}: [sampler] `interval` = '5': write a number and a unit, "
            'such as "250ms", "5s", "1m", "12h" or "400d".'
        )
    ]


def test_a_taken_port_names_its_holder_and_a_free_port(home: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = write_config(tmp_path, [("a", tmp_path / "a.db")])
        done = run(home, "--config", config, "--address", "127.0.0.1", "--port", port)
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 is taken by " in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert f"under [server] in {config}. To try it: ./ops/run serve --port " in done.stderr
    assert "Your own databases" not in done.stdout


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "99999"), ("--port", "x"), ("--address", "fe80::1%eth0")]
)
def test_an_invalid_option_is_named(home: Path, option: str, value: str) -> None:
    """The configuration is not named: it may not even exist."""
    done = run(home, option, value)
    assert done.returncode == 2
    assert f"Invalid value for '{option}'" in done.stderr
    assert "config.toml" not in done.stderr


def test_a_second_service_on_one_history_prints_what_to_do(home: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, [("a", tmp_path / "a.db")])
    with Served(config):
        done = run(home, "--config", config, "--address", "127.0.0.1", "--port", free_port())
    assert done.returncode == 1
    assert (
        "another Mission Control is writing it. Stop that one, or set another `path`" in done.stderr
    )


def test_doctor_exits_0_if_everything_is_well(home: Path, tmp_path: Path) -> None:
    database = make_database(tmp_path / "email.db", messages=3)
    more = {"server": f"port = {free_port()}"}
    config = write_config(tmp_path, [("email", database), ("late", tmp_path / "late.db")], **more)
    done = run(home, "doctor", "--config", config)
    assert done.returncode == 0, done.stdout
    assert re.search(r"Email: (≈\s)?3 rows in 1 table\.", done.stdout)  # it was written just now
    assert "Late: No file yet at" in done.stdout
    assert "BAD" not in done.stdout


def test_doctor_prints_each_problem_with_its_fix(home: Path, tmp_path: Path) -> None:
    (tmp_path / "email.db").write_text("hello " * 100)
    with other_server() as port:
        more = {"server": f"port = {port}"}
        config = write_config(tmp_path, [("email", tmp_path / "email.db")], **more)
        done = run(home, "doctor", "--config", config)
    assert done.returncode == 3
    assert "BAD  Email: Not an SQLite file, or encrypted.\n     Check `path` in" in done.stdout
    assert re.search(r"BAD  Port \d+ on 127.0.0.1 is taken by", done.stdout)


def test_doctor_recognizes_a_port_served_by_mission_control(home: Path, tmp_path: Path) -> None:
    database = make_database(tmp_path / "email.db", messages=3)
    port = free_port()
    more = {"server": f'port = {port}\naddresses = ["127.0.0.1"]'}
    config = write_config(tmp_path, [("email", database)], **more)
    with running(home, "--config", config) as process:
        output_until(process, "http:")
        done = run(home, "doctor", "--config", config)
    assert done.returncode == 0, done.stdout
    assert f"Mission Control is served at http://127.0.0.1:{port}/" in done.stdout


def test_without_a_configuration_the_default_databases_are_watched(home: Path) -> None:
    with running(home, "--address", "127.0.0.1", "--port", free_port()) as process:
        output = output_until(process, "Your own databases")
        assert "Mission Control watches 5 databases:" in output
        assert (home / ".local" / "state" / "mission-control" / "history.db").exists()


def test_without_a_configuration_status_and_doctor_name_the_next_step_once(home: Path) -> None:
    status, doctor = run(home, "status").stdout, run(home, "doctor").stdout
    assert status.endswith("To find your databases: ./ops/run discover --save\n")
    assert status.count("\n") == 7
    assert "     ./ops/run discover --save\n" in doctor
    for text in (status, doctor):
        assert "It connects automatically" not in text
        assert text.count("SQLite 3.51.3 fixes that") <= 1


def test_the_demo_names_the_next_step_and_removes_its_files(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    port = free_port()
    with running(home, "demo", "--port", port) as process:
        output = output_until(process, "discover --save")
        assert f"http://127.0.0.1:{port}/" in output
        (folder,) = tmp_path.glob("mission-control-demo-*")
        assert len(list(folder.glob("*.db"))) >= 4
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert not folder.exists()


def test_a_killed_demo_leaves_no_process_and_the_next_one_removes_its_files(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with running(home, "demo", "--port", free_port()) as process:
        output_until(process, "discover --save")
        (folder,) = tmp_path.glob("mission-control-demo-*")
        tasks = partial(Path(f"/proc/{process.pid}/task").glob, "*/children")

        def children() -> list[str]:
            """The processes that it has started: six, and at times one that asks measures."""
            with suppress(OSError):  # a thread ended
                found = [pid for task in tasks() for pid in task.read_text().split()]
                return found if len(found) >= 6 else []
            return []

        found = eventually(children)
        process.kill()
        process.wait()
    eventually(lambda: not any(is_alive(pid) for pid in found))
    with running(home, "demo", "--port", free_port()) as process:
        output_until(process, "discover --save")
        assert not folder.exists()


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
