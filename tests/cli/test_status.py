"""`status`: the same lines and the same document, with and without the service."""

import json
import os
import pty
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from dash_app.cli.service_status import snapshot_from
from dash_app.cli.status import exit_code, lines
from dash_app.cli.terminal import table
from dash_app.system.exit_codes import ExitCode
from tests.cli.helpers import environment, run
from tests.harness import ROOT, Served, eventually, free_port, make_database, write_config

NOW = datetime(2026, 11, 23, 15, 0, 5, tzinfo=UTC)
READING_TIMES = {"takenAt", "verifiedAt", "readAt"}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def config(tmp_path: Path, port: int) -> Path:
    databases = [("email", tmp_path / "email.db"), ("late", tmp_path / "late.db")]
    server = f'port = {port}\naddresses = ["127.0.0.1"]'
    return write_config(tmp_path, databases, server=server, history='every = "1s"')


def without_times(document: dict[str, Any]) -> Any:
    """A document without the times of readings."""
    kept = [{k: v for k, v in d.items() if k not in READING_TIMES} for d in document["databases"]]
    return {**document, "takenAt": None, "databases": kept}


def status(tmp_path: Path, config: Path) -> tuple[int, list[str]]:
    done = run(tmp_path, "status", "--config", config)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def document(tmp_path: Path, config: Path) -> dict[str, Any]:
    done = run(tmp_path, "status", "--json", "--config", config)
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def lose_the_file(tmp_path: Path, config: Path, port: int) -> None:
    """Let a service read a database with tables, then remove the file."""
    path = make_database(tmp_path / "email.db", messages=3)
    with Served(config, port=port) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
    path.unlink()


def test_without_the_service_there_is_one_line_per_database_worst_first(
    tmp_path: Path, config: Path
) -> None:
    make_database(tmp_path / "email.db", messages=3, letters=4)
    measure = 'name = "unread"\nsql = "SELECT count(*) FROM letters"\npinned = true'
    late = '[[databases]]\nname = "late"'
    text = config.read_text().replace(late, f"[[databases.measures]]\n{measure}\n{late}")
    config.write_text(text)

    def answered() -> list[str]:
        """Its output, if a busy machine let it ask the measure."""
        code, output = status(tmp_path, config)
        assert code == 0
        return output if output[-1].endswith(" Unread: 4.") else []

    output = eventually(answered)
    assert re.fullmatch(
        r"1 well, 1 not initialized · \d\d:\d\d:\d\d UTC, (now|\d+ s ago)", output[0]
    )
    assert output[1].startswith("new  Late   No file yet at ")
    assert output[2].startswith(" " * 12 + "It connects automatically")
    assert re.fullmatch(
        r"ok   Email  Last write (now|\d+ s ago)\. 7 rows\. Not checked yet\. Unread: 4\.",
        output[3],
    )
    assert not (tmp_path / "history.db").exists()


def test_status_is_the_same_with_and_without_the_service(
    tmp_path: Path, config: Path, port: int
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with Served(config, port=port, HOME=str(tmp_path)) as served:
        eventually(lambda: served.database("email")["change"])
        served_document = served.json("/api/db-status")
        printed = document(tmp_path, config)
        with_service = status(tmp_path, config)
    assert without_times(printed) == without_times(served_document)
    assert without_times(document(tmp_path, config)) == without_times(served_document)
    without = status(tmp_path, config)
    assert with_service[0] == without[0] == 0
    age = re.compile(r"\d\d:\d\d(:\d\d)?|now|\d+ s( ago)?")
    assert [age.sub("", line) for line in with_service[1]] == [
        age.sub("", line) for line in without[1]
    ]


def test_a_running_service_is_asked(tmp_path: Path, config: Path, port: int) -> None:
    path = make_database(tmp_path / "email.db", messages=30)
    config.write_text(config.read_text().replace('interval = "1s"', 'interval = "1h"'))
    with Served(config, port=port) as served:
        assert served.database("email")["totalRows"] == 30
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM messages")
        # A service that is too busy to answer in time is not asked.
        eventually(lambda: "30 rows." in status(tmp_path, config)[1][-1])
    assert "Emptied: messages 30 → 0." in status(tmp_path, config)[1][1]


def test_a_lost_file_is_a_problem_without_the_service_too(
    tmp_path: Path, config: Path, port: int
) -> None:
    lose_the_file(tmp_path, config, port)
    with closing(sqlite3.connect(tmp_path / "history.db")) as history:
        before = history.execute("SELECT * FROM memory").fetchall()
    code, output = status(tmp_path, config)
    assert code == 3
    assert output[0].startswith("Email is gone, ")
    assert re.match(r"ERROR  Email  The file is gone\. Since \d\d:\d\d UTC", output[1])
    assert "Last seen 3 rows." in output[1]
    assert "restore a backup" in output[2]
    with closing(sqlite3.connect(tmp_path / "history.db")) as history:
        assert history.execute("SELECT * FROM memory").fetchall() == before


def test_an_acknowledgement_counts_with_and_without_the_service(
    tmp_path: Path, config: Path, port: int
) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    with Served(config, port=port) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
        path.unlink()
        eventually(lambda: served.json("/api/incidents")["incidents"])
    with closing(sqlite3.connect(tmp_path / "history.db")) as history, history:
        history.execute("UPDATE incident SET acknowledged_by = 'ann', acknowledged_at = since")
    without = status(tmp_path, config)
    with Served(config, port=port):
        outputs = [without, status(tmp_path, config)]
    for code, (headline, line, *_) in outputs:
        assert headline.startswith("1 acknowledged, 1 not initialized · ")
        assert line.startswith("ERROR  Email  The file is gone. Since ")
        assert " Acknowledged until it ends, by ann. " in line
        assert code == 0


def test_an_unreadable_history_is_a_failure(tmp_path: Path, config: Path) -> None:
    (tmp_path / "history.db").write_text("nonsense " * 500)
    done = run(tmp_path, "status", "--config", config)
    assert (done.returncode, done.stdout) == (1, "")
    assert "history.db cannot be read: file is not a database" in done.stderr


def test_the_token_is_sent_and_without_access_the_databases_are_read(
    tmp_path: Path, config: Path, port: int
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    token = tmp_path / "token"
    token.write_text("secret\n")
    token.chmod(0o600)
    config.write_text(config.read_text().replace("port =", f'token_file = "{token}"\nport ='))
    with Served(config, port=port) as served:
        assert served.get("/api/db-status")[0] == 401
        body = served.get("/api/db-status", {"Authorization": "Bearer secret"})[1]
        assert document(tmp_path, config)["databases"][0]["since"] in body
        token.write_text("another")
        assert document(tmp_path, config)["databases"][0]["rowCounts"] == {"messages": 3}


@contextmanager
def other_server(port: int, body: str) -> Iterator[None]:
    """A server of this user that answers every request alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.mark.parametrize(
    "body",
    [
        "nonsense",
        "[]",
        '{"databases": [{"name": "email"}]}',
        '{"takenAt": "2026-11-23T15:00:00Z", "headline": "All well", "databases": []}',
    ],
)
def test_a_response_for_other_databases_is_ignored(
    tmp_path: Path, config: Path, port: int, body: str
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with other_server(port, body):
        code, output = status(tmp_path, config)
    assert code == 0
    assert "3 rows." in output[-1]


def test_the_state_is_unknown_if_the_service_stopped_reading(
    tmp_path: Path, config: Path, port: int
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    old = {**document(tmp_path, config), "takenAt": "2026-11-23T14:02:00Z"}
    with other_server(port, json.dumps(old)):
        code, output = status(tmp_path, config)
    assert code == 4
    assert output[0].startswith("Can't tell · 14:02:00 UTC, ")
    assert output[1].startswith("The service answers but stopped reading then.")


def test_only_a_terminal_gets_colours_unless_they_are_turned_off(
    tmp_path: Path, config: Path
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    assert "\x1b" not in run(tmp_path, "status", "--config", config).stdout
    assert "\x1b[32mok " in on_a_terminal(tmp_path, config)
    assert "\x1b" not in on_a_terminal(tmp_path, config, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(tmp_path, config, TERM="dumb")


def on_a_terminal(home: Path, config: Path, **more: str) -> str:
    """The output of `status` on a terminal."""
    ours, theirs = pty.openpty()
    variables = {k: v for k, v in environment(home).items() if k != "NO_COLOR"}
    command = [sys.executable, "-m", "dash_app", "status", "--config", str(config)]
    subprocess.run(
        command,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**variables, "TERM": "xterm", **more},
        cwd=ROOT,
        check=False,
    )
    os.close(theirs)
    output = b""
    while chunk := read(ours):
        output += chunk
    os.close(ours)
    return output.decode()


def read(descriptor: int) -> bytes:
    """The rest of a terminal whose other end is closed; Linux reports its end as an error."""
    rest = b""
    while True:
        try:
            more = os.read(descriptor, 65536)
        except OSError:
            return rest
        if not more:
            return rest
        rest += more


def test_a_command_of_more_than_a_second_shows_the_elapsed_time(
    tmp_path: Path, config: Path, port: int
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dash_app", "status", "--config", str(config)]
    with socket.create_server(("127.0.0.1", port)):  # accepts connections, but never answers
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=environment(tmp_path),
            cwd=ROOT,
            check=False,
        )
    os.close(theirs)
    output = read(ours).decode()
    os.close(ours)
    assert done.returncode == 0
    assert re.match(r"\rReading the databases, \d+ s", output)
    assert output.endswith("\x1b[K")


def database(**facts: Any) -> dict[str, Any]:
    """A database in a document of `/api/db-status`."""
    return {
        "name": "email",
        "label": "Email",
        "path": "/srv/email.db",
        "status": "connected",
        "level": "well",
        "verdict": "133 rows in 2 tables.",
        "since": "2026-11-23T14:02:00Z",
        "error": None,
        "findings": [],
        "lastGood": None,
        "rowCounts": {"messages": 130, "drafts": 3},
        "estimates": {},
        "change": None,
        "lastModified": "2026-11-23T14:59:58Z",
        "readAt": "2026-11-23T14:59:58Z",
        "verifiedAt": "2026-11-23T15:00:05Z",
        **facts,
    }


def printed(*databases: dict[str, Any]) -> list[str]:
    """The lines of a document, which was taken two seconds ago."""
    document: Any = {"takenAt": "2026-11-23T15:00:03Z", "databases": databases}
    return list(lines(snapshot_from(document), NOW, is_fresh=True))


def test_lines_are_aligned_and_have_change_problem_and_age() -> None:
    finding = {
        "kind": "log_held",
        "level": "notice",
        "since": "2026-11-23T14:00:00Z",
        "text": "WAL 1.2 GB, held back by node (pid 812) for 3 h.",
        "remedy": "Restart that program.",
    }
    day = {"rows": 24, "since": "2026-11-22T15:00:00Z"}
    output = printed(
        database(change=day),
        database(label="Content", level="notice", verdict=finding["text"], findings=[finding]),
        database(label="Health", level="unknown", verifiedAt="2026-11-23T14:50:00Z"),
    )
    assert [re.sub(r"\x1b\[\d*m", "", line) for line in output] == [
        "Content has a large WAL, 1 h · 15:00:03 UTC, 2 s ago",
        (
            "WAL HELD  Content  WAL 1.2 GB, held back by node (pid 812) for 3 h."
            " Since 14:00 UTC (1 h). Last write 14:59 UTC. 133 rows."
        ),
        "                   Restart that program.",
        "stale     Health   Last write 14:59 UTC. 133 rows. As of 14:50 UTC, 10 min ago.",
        "ok        Email    Last write 7 s ago. 133 rows, +24 in 24 h.",
    ]


def test_an_acknowledged_database_needs_nobody() -> None:
    finding = {
        "kind": "log_held",
        "level": "fault",
        "since": "2026-11-23T14:00:00Z",
        "text": "WAL held back.",
        "remedy": "Restart that program.",
    }
    by_ann = {"by": "ann", "at": "2026-11-23T14:00:00Z", "until": "2026-11-23T22:00:00Z"}
    facts = {"level": "fault", "verdict": "WAL held back.", "findings": [finding]}
    known = database(**facts, acknowledged=by_ann)
    headline, line, *_ = printed(database(label="Health"), known)
    assert headline.startswith("1 well, 1 acknowledged · ")
    assert "WAL held back. Since 14:00 UTC (1 h). Acknowledged until 22:00 UTC" in line
    document: Any = {"takenAt": "2026-11-23T15:00:03Z", "databases": [known]}
    assert exit_code(snapshot_from(document)) == ExitCode.WELL
    del known["acknowledged"]
    assert exit_code(snapshot_from(document)) == ExitCode.NEEDS_YOU


def test_what_is_not_obvious_from_the_numbers_is_shown() -> None:
    verdict = "node (pid 812) has locked it, as a transaction does. Last read at 14:50:00 UTC."
    (line,) = printed(database(verdict=verdict))[1:]
    assert line.endswith(f"Email  {verdict} Last write 7 s ago. 133 rows.")
    estimates = {"drafts": {"kind": "at_most", "countedAt": "2026-11-23T15:00:00Z"}}
    (line,) = printed(
        database(verdict="130 rows counted in 2 tables, 1 unknown.", estimates=estimates)
    )[1:]
    assert line.endswith("Email  Last write 7 s ago. 130 rows counted.")


def test_unknown_values_of_a_newer_service_are_shown() -> None:
    finding = {
        "kind": "a_new_kind",
        "level": "a_new_level",
        "since": "2026-11-23T14:00:00Z",
        "text": "Something new.",
        "remedy": "",
    }
    error = {"code": "a_new_code", "message": "Something else.", "remedy": "Look."}
    undecided = {**error, "code": "needs_extension"}
    output = printed(
        database(level="a_new_level", findings=[finding]),
        database(label="Content", status="a_new_status", level="fault", error=error),
        database(label="Health", status="error", level="unknown", error=error),
        database(label="Notes", level="unknown", error=undecided),
    )
    assert len(output) == 9
    assert output[1].startswith("\x1b[31mA NEW KIND  \x1b[0m  Email")
    assert "A NEW STATUS" in "".join(output)
    assert "can't tell" in "".join(output)


def test_the_name_of_a_table_cannot_control_the_terminal() -> None:
    output = printed(database(verdict="Emptied: \x1b]0;owned\x07\nok  All → 0."))
    assert len(output) == 2
    assert "Emptied: �]0;owned��ok  All → 0." in output[1]
    assert table([["\x1b[2Jx", "y"]]) == ["�[2Jx  y"]
