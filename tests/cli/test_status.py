"""`status`: the same lines and the same document with and without the service."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from dash_app.cli.status_text import lines
from dash_app.cli.terminal import table
from tests.cli.helpers import environment, run
from tests.harness import ROOT, Served, eventually, free_port, make_database, write_config

NOW = datetime(2026, 11, 23, 15, 0, 5, tzinfo=UTC)
FRESH = timedelta(seconds=15)
LOOKED_AT = {"takenAt", "verifiedAt", "readAt"}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def config(tmp_path: Path, port: int) -> Path:
    databases = [("email", tmp_path / "email.db"), ("late", tmp_path / "late.db")]
    server = f'port = {port}\naddresses = ["127.0.0.1"]'
    return write_config(tmp_path, databases, server=server, history='every = "1s"')


def told(document: dict[str, Any]) -> Any:
    """A document without the times of looking."""
    kept = [{k: v for k, v in d.items() if k not in LOOKED_AT} for d in document["databases"]]
    return {**document, "takenAt": None, "databases": kept}


def status(tmp_path: Path, config: Path) -> tuple[int, list[str]]:
    done = run(tmp_path, "status", "--config", config)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def document(tmp_path: Path, config: Path) -> dict[str, Any]:
    done = run(tmp_path, "status", "--json", "--config", config)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lose_the_file(tmp_path: Path, config: Path, port: int) -> None:
    """Have a service see a database with tables that is gone afterwards."""
    path = make_database(tmp_path / "email.db", messages=3)
    with Served(config, port=port) as served:
        eventually(lambda: served.database("email")["status"] == "connected")
    path.unlink()


def test_without_the_service_a_line_a_database_worst_first(tmp_path: Path, config: Path) -> None:
    make_database(tmp_path / "email.db", messages=3, letters=4)
    code, said = status(tmp_path, config)
    assert code == 0
    assert re.fullmatch(r"1 well, 1 not initialized · \d\d:\d\d:\d\d UTC, (now|\d+ s ago)", said[0])
    assert said[1].startswith("new  Late   No file yet at ")
    assert said[2].startswith(" " * 12 + "It connects automatically")
    assert re.fullmatch(r"ok   Email  7 rows in 2 tables\. Last write (now|\d+ s ago)\.", said[3])
    assert not (tmp_path / "history.db").exists()


def test_both_ways_say_the_same(tmp_path: Path, config: Path, port: int) -> None:
    make_database(tmp_path / "email.db", messages=3)
    with Served(config, port=port, HOME=str(tmp_path)) as served:
        eventually(lambda: served.database("email")["change"])
        asked, printed = served.json("/api/db-status"), document(tmp_path, config)
        with_service = status(tmp_path, config)
    assert told(printed) == told(asked)
    assert told(document(tmp_path, config)) == told(asked)
    without = status(tmp_path, config)
    assert with_service[0] == without[0] == 0
    age = re.compile(r"\d\d:\d\d(:\d\d)?|now|\d+ s( ago)?")
    assert [age.sub("", line) for line in with_service[1]] == [
        age.sub("", line) for line in without[1]
    ]


def test_a_service_that_runs_is_asked(tmp_path: Path, config: Path, port: int) -> None:
    path = make_database(tmp_path / "email.db", messages=30)
    config.write_text(config.read_text().replace('interval = "1s"', 'interval = "1h"'))
    with Served(config, port=port) as served:
        assert served.database("email")["totalRows"] == 30
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM messages")
        assert "30 rows in 1 table." in status(tmp_path, config)[1][-1]
    assert "Emptied: messages 30 → 0." in status(tmp_path, config)[1][1]


def test_a_file_that_was_seen_is_missed_without_the_service_too(
    tmp_path: Path, config: Path, port: int
) -> None:
    lose_the_file(tmp_path, config, port)
    with closing(sqlite3.connect(tmp_path / "history.db")) as history:
        before = history.execute("SELECT * FROM memory").fetchall()
    code, said = status(tmp_path, config)
    assert code == 3
    assert said[0].startswith("1 of 2 needs you · ")
    assert re.match(r"ERROR  Email  The file is gone\. Since \d\d:\d\d UTC", said[1])
    assert "Last seen 3 rows." in said[1]
    assert "restore a backup" in said[2]
    with closing(sqlite3.connect(tmp_path / "history.db")) as history:
        assert history.execute("SELECT * FROM memory").fetchall() == before


def test_a_history_that_cannot_be_read_is_no_calm(tmp_path: Path, config: Path) -> None:
    (tmp_path / "history.db").write_text("nonsense " * 500)
    done = run(tmp_path, "status", "--config", config)
    assert (done.returncode, done.stdout) == (1, "")
    assert "history.db cannot be read: file is not a database" in done.stderr


def test_the_token_is_sent_and_who_is_refused_reads_by_itself(
    tmp_path: Path, config: Path, port: int
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    token = tmp_path / "token"
    token.write_text("secret\n")
    token.chmod(0o600)
    config.write_text(config.read_text().replace("port =", f'token_file = "{token}"\nport ='))
    with Served(config, port=port) as served:
        assert served.get("/api/db-status")[0] == 401
        asked = served.get("/api/db-status", {"Authorization": "Bearer secret"})[1]
        assert document(tmp_path, config)["databases"][0]["since"] in asked
        token.write_text("another")
        assert document(tmp_path, config)["databases"][0]["rowCounts"] == {"messages": 3}


@pytest.mark.parametrize(
    "answer",
    [
        "nonsense",
        "[]",
        '{"databases": [{"name": "email"}]}',
        '{"takenAt": "2026-11-23T15:00:00Z", "headline": "All well", "databases": []}',
    ],
)
def test_who_is_not_mission_control_over_the_same_databases_is_not_believed(
    tmp_path: Path, config: Path, port: int, answer: str
) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.encode())

    make_database(tmp_path / "email.db", messages=3)
    with HTTPServer(("127.0.0.1", port), Stranger) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        code, said = status(tmp_path, config)
        server.shutdown()
    assert code == 0
    assert "3 rows in 1 table." in said[-1]


def test_no_colour_but_on_a_terminal_and_none_where_it_is_not_wanted(
    tmp_path: Path, config: Path
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    assert "\x1b" not in run(tmp_path, "status", "--config", config).stdout
    assert "\x1b[32mok " in on_a_terminal(tmp_path, config)
    assert "\x1b" not in on_a_terminal(tmp_path, config, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(tmp_path, config, TERM="dumb")


def on_a_terminal(home: Path, config: Path, **more: str) -> str:
    """What `status` prints to a terminal."""
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
    said = b""
    while chunk := read(ours):
        said += chunk
    os.close(ours)
    return said.decode()


def read(descriptor: int) -> bytes:
    """What is left in a terminal whose other end is closed; Linux reports its end as an error."""
    left = b""
    while True:
        try:
            more = os.read(descriptor, 65536)
        except OSError:
            return left
        if not more:
            return left
        left += more


def test_what_takes_longer_than_a_second_says_so_on_a_terminal(
    tmp_path: Path, config: Path, port: int
) -> None:
    make_database(tmp_path / "email.db", messages=3)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dash_app", "status", "--config", str(config)]
    with socket.create_server(("127.0.0.1", port)):  # takes connections, and says no word
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=environment(tmp_path),
            cwd=ROOT,
            check=False,
        )
    os.close(theirs)
    said = read(ours).decode()
    os.close(ours)
    assert done.returncode == 0
    assert said.startswith("\rReading the databases, 1 s")
    assert said.endswith("\x1b[K")


def one(**facts: Any) -> dict[str, Any]:
    return {
        "name": "email",
        "label": "Email",
        "status": "connected",
        "level": "well",
        "verdict": "133 rows in 2 tables.",
        "since": "2026-11-23T14:02:00Z",
        "error": None,
        "findings": [],
        "lastGood": None,
        "totalRows": 133,
        "change": None,
        "lastModified": "2026-11-23T14:59:58Z",
        "verifiedAt": "2026-11-23T15:00:05Z",
        **facts,
    }


def test_lines_are_aligned_and_say_change_finding_and_age() -> None:
    finding = {
        "kind": "log_held",
        "since": "2026-11-23T14:00:00Z",
        "text": "WAL 1.2 GB, held back by node (pid 812) for 3 h.",
        "remedy": "Restart that program.",
    }
    day = {"rows": 24, "since": "2026-11-22T15:00:00Z"}
    found: Any = {
        "takenAt": "2026-11-23T15:00:03Z",
        "headline": "1 of 3 needs you",
        "databases": [
            one(change=day),
            one(label="Content", level="notice", verdict=finding["text"], findings=[finding]),
            one(label="Health", level="unknown", verifiedAt="2026-11-23T14:50:00Z"),
        ],
    }
    plain = [re.sub(r"\x1b\[\d*m", "", line) for line in lines(found, NOW, FRESH)]
    assert plain == [
        "1 of 3 needs you · 15:00:03 UTC, 2 s ago",
        (
            "stale     Health   133 rows in 2 tables. Last write 7 s ago."
            " As of 14:50 UTC, 10 min ago."
        ),
        (
            "LOG HELD  Content  WAL 1.2 GB, held back by node (pid 812) for 3 h."
            " Since 14:00 UTC (1 h). 133 rows. Last write 7 s ago."
        ),
        "                   Restart that program.",
        "ok        Email    133 rows in 2 tables. +24 in 24 h. Last write 7 s ago.",
    ]


def test_what_only_a_newer_service_knows_is_shown_plainly() -> None:
    finding = {
        "kind": "a_new_kind",
        "since": "2026-11-23T14:00:00Z",
        "text": "Something new.",
        "remedy": "",
    }
    error = {"code": "a_new_code", "message": "Something else.", "remedy": "Look."}
    found: Any = {
        "takenAt": "2026-11-23T15:00:03Z",
        "headline": "2 of 4 need you",
        "databases": [
            one(level="a_new_level", findings=[finding]),
            one(label="Content", status="a_new_status", level="fault", error=error),
            one(label="Health", status="error", level="unknown", error=error),
            one(label="Notes", level="unknown", error={**error, "code": "needs_extension"}),
        ],
    }
    said = list(lines(found, NOW, FRESH))
    assert len(said) == 9
    assert said[1].startswith("\x1b[31mA NEW KIND  \x1b[0m  Email")
    assert "A NEW STATUS" in "".join(said)
    assert "can't tell" in "".join(said)


def test_the_name_of_a_table_cannot_command_the_terminal() -> None:
    lost = one(verdict="Emptied: \x1b]0;owned\x07\nok  All → 0.")
    found: Any = {"takenAt": "2026-11-23T15:00:03Z", "headline": "", "databases": [lost]}
    said = list(lines(found, NOW, FRESH))
    assert len(said) == 2
    assert "Emptied: �]0;owned��ok  All → 0." in said[1]
    assert table([["\x1b[2Jx", "y"]]) == ["�[2Jx  y"]


def test_a_service_that_stopped_reading_cannot_tell() -> None:
    found: Any = {"takenAt": "2026-11-23T14:02:00Z", "headline": "All well", "databases": [one()]}
    said = list(lines(found, NOW, FRESH))
    assert said[0] == "Can't tell · 14:02:00 UTC, 58 min ago"
    assert said[1].startswith("The service answers but stopped reading then.")
