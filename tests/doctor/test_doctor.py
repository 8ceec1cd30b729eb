"""Each check of `doctor` finds a real problem and shows how to fix it."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from ipaddress import ip_address
from pathlib import Path
from shlex import quote
from threading import Event, Thread
from typing import Any

import pytest

from dash_app import doctor, settings
from dash_app.doctor import Check, clock, measures, network, service, unwatched
from dash_app.doctor.databases import conflicts_unknown
from dash_app.history.schema import migrate
from dash_app.model.host_facts import Surroundings
from dash_app.model.reading import has_reset_bug
from dash_app.settings import default_path
from dash_app.settings.schema import ServerSettings
from dash_app.system.users import own_user_name
from tests.airlock_helpers import give_to_nobody, public_folder
from tests.factories import database, good_reading
from tests.forked import run_forked
from tests.harness import (
    PATIENCE_SECONDS,
    ROOT,
    LiveWriter,
    Served,
    eventually,
    free_port,
    make_database,
    other_server,
    write_config,
)
from tests.mounts import CAN_MOUNT, BadDisk

OPEN_FOLDERS = """
set -e
while [ "$1" != -- ]; do
    held=$(mktemp -d)
    mount --rbind "$1" "$held"
    mount -t tmpfs -o mode=755 none "$1"
    find "$held" -mindepth 1 -maxdepth 1 | while read -r entry; do
        here="$1/${entry##*/}"
        if [ -L "$entry" ]; then cp -P "$entry" "$here"; continue; fi
        if [ -d "$entry" ]; then mkdir "$here"; else touch "$here"; fi
        mount --rbind "$entry" "$here"
    done
    umount -l "$held"
    rmdir "$held"
    shift
done
shift
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
"""
"""Makes folders readable in a new mount namespace, by others with the same entries."""


def closed_folders() -> list[str]:
    """Return the folders that keep other users from Python and the code, outermost first."""
    paths = [Path(sys.base_prefix), Path(sys.prefix), ROOT / "dash_app"]
    folders = {folder for path in paths for folder in (path.resolve(), *path.resolve().parents)}
    return sorted(str(folder) for folder in folders if not folder.stat().st_mode & 0o001)


AS_NOBODY = ["unshare", "--mount", "sh", "-c", OPEN_FOLDERS, "sh", *closed_folders(), "--"]
"""Runs a command as an ordinary user, even if the code is in the home of root."""

OTHER = 12345
CONFIG = Path("config.toml")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")


class Report:
    """The output of `doctor --json`: its exit code and its checks."""

    def __init__(self, config: Path, *before: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(config.parent)}
        arguments = ["doctor", "--json", "--config", str(config)]
        if before:
            done = subprocess.run(
                [*before, sys.executable, "-m", "dash_app", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=10 * PATIENCE_SECONDS,
            )
        else:
            done = run_forked(arguments, environment)
        assert done.stdout, done.stderr
        self.exit_code = done.returncode
        self.checks = json.loads(done.stdout)

    def check(self, code: str) -> Any:
        """Return the only check with a code."""
        (check,) = [check for check in self.checks if check["code"] == code]
        return check

    @property
    def codes(self) -> set[str]:
        return {check["code"] for check in self.checks}


def report(folder: Path, path: Path, *before: str, **more: str) -> Report:
    sections = {"server": f'port = {free_port()}\naddresses = ["127.0.0.1"]', **more}
    return Report(write_config(folder, [("email", path)], **sections), *before)


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A folder that an ordinary user owns."""
    with public_folder() as folder:
        give_to_nobody(folder)
        yield folder


def as_nobody() -> list[str]:
    return AS_NOBODY if os.geteuid() == 0 else []


def test_checks_without_problems_have_level_and_code(tmp_path: Path) -> None:
    found = report(tmp_path, make_database(tmp_path / "email.db", messages=3))
    assert found.exit_code == 0
    # Of a file written just now, a count is an estimate until the table is due again.
    text = found.check("readable")["text"].replace("\N{ALMOST EQUAL TO}\N{NO-BREAK SPACE}", "")
    assert text == "Email: 3 rows in 1 table."
    assert {"configuration", "port_free", "history", "guarded"} <= found.codes
    assert all(set(check) == {"level", "code", "text", "cure"} for check in found.checks)
    assert not found.codes & {"not_wal", "database_owner", "side_file_owner", "clock_wrong"}


def test_databases_beside_watched_ones_are_named_once_per_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my agents"
    watched = [make_database(folder / name, notes=1) for name in ("a.db", "b.db")]
    alone = make_database(tmp_path / "alone" / "c.db", notes=1)
    databases = [database("a"), database("b"), database("c"), database("gone")]
    paths = [folder / "a.db", tmp_path / "link.db", alone, tmp_path / "missing" / "d.db"]
    (tmp_path / "link.db").symlink_to(watched[1])
    databases = [replace(one, path=path) for one, path in zip(databases, paths, strict=True)]
    for name in ("a.bak.db", "a.corrupt.db", "below/e.db"):
        make_database(folder / name, notes=1)
    with LiveWriter(watched[0]):
        assert list(unwatched.examine(databases, default_path())) == []
        make_database(folder / "crm.db", notes=1)
        make_database(folder / "leads", notes=1)
        (check,) = unwatched.examine(databases, default_path())
    assert check.text == f"2 databases in {folder} are not watched: crm.db and leads."
    assert check.cure == f"./ops/run discover '{folder}' --save"
    assert check.level == "notice"
    folders = [make_database(tmp_path / f"f{i}" / "x.db", notes=1).parent for i in range(11)]
    found = list(
        unwatched.examine([replace(databases[0], path=one / "y.db") for one in folders], CONFIG)
    )
    assert found[0].text == f"A database in {folders[0]} is not watched: x.db."
    assert found[0].cure.endswith(" --save --config config.toml")
    assert found[10].text == "There are unwatched databases in 1 more folder."


@as_root
def test_a_database_of_another_user() -> None:
    with folder_of_nobody() as folder:
        path = make_database(folder / "email.db", messages=3)
        os.chown(path, OTHER, OTHER)
        path.chmod(0o644)
        found = report(folder, path, *AS_NOBODY)
    check = found.check("database_owner")
    assert check["text"] == f"Email belongs to {OTHER}, not to nobody."
    assert check["cure"] == f"sudo chown nobody: {path}"
    assert found.exit_code == 0


@as_root
def test_a_side_file_of_another_owner_than_its_database(tmp_path: Path) -> None:
    path = make_database(tmp_path / "my email.db", messages=3)
    with LiveWriter(path) as writer:
        writer.do("INSERT INTO messages (text) VALUES ('more')")
        os.chown(f"{path}-wal", OTHER, OTHER)
        found = report(tmp_path, path)
    check = found.check("side_file_owner")
    assert check["text"] == f"Email: its -wal belongs to {OTHER}, the database to root."
    assert check["cure"] == f"sudo chown root: '{path}'-wal"
    assert found.exit_code == 3


@pytest.mark.parametrize("closed", ["folder", "email.db"])
def test_an_unreadable_database_is_reported_with_the_command_that_opens_it(closed: str) -> None:
    with folder_of_nobody() as folder:
        path = make_database(folder / "folder" / "email.db", messages=3)
        give_to_nobody(folder)
        shut, right = (path.parent, "x") if closed == "folder" else (path, "r")
        shut.chmod(0)
        found = report(folder, path, *as_nobody())
        shut.chmod(0o700)
    check = found.check("folder_closed" if closed == "folder" else "permission_denied")
    assert check["cure"].endswith(f":{right} {shut}")
    assert found.exit_code == 3


def test_a_database_without_wal_mode_is_reported(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", wal=False, messages=3)
    found = report(tmp_path, path)
    assert found.check("not_wal")["cure"].endswith(f": sqlite3 {path} 'PRAGMA journal_mode = WAL'")
    assert "old_sqlite" not in found.codes


@pytest.mark.parametrize(
    ("version", "has_it"),
    [
        (3_006_023, False),
        (3_007_000, True),
        (3_040_001, True),
        (3_044_005, True),
        (3_044_006, False),
        (3_045_001, True),
        (3_050_006, True),
        (3_050_007, False),
        (3_051_002, True),
        (3_051_003, False),
        (3_053_000, False),
    ],
)
def test_affected_versions_of_the_reset_bug(version: int, *, has_it: bool) -> None:
    assert has_reset_bug(version) is has_it


def test_databases_written_by_an_old_sqlite_are_one_check(tmp_path: Path) -> None:
    versions = {"email": 3_046_001, "health": 3_040_001, "new": 3_051_003, "journal": 3_046_001}
    paths = [(name, tmp_path / f"{name}.db") for name in versions]
    for name, path in paths:
        make_database(path, wal=name != "journal", messages=3)
        with path.open("r+b") as file:
            file.seek(96)
            file.write(versions[name].to_bytes(4, "big"))
    server = f'port = {free_port()}\naddresses = ["127.0.0.1"]'
    found = Report(write_config(tmp_path, paths, server=server))
    check = found.check("old_sqlite")
    assert check["level"] == "notice"
    assert "WAL-reset bug: Email (3.46.1) and Health (3.40.1)." in check["text"]
    assert "3.51.3 fixes that, as do 3.50.7 and 3.44.6; a distribution" in check["cure"]


def test_a_taken_port_names_its_process_and_a_free_port(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    with other_server() as port:
        more = {"server": f'port = {port}\naddresses = ["127.0.0.1"]'}
        found = report(tmp_path, path, **more)
    check = found.check("port_taken")
    assert f"Port {port} on 127.0.0.1 is taken by" in check["text"]
    assert f"(pid {os.getpid()})" in check["text"]
    pattern = r"Port \d+ is free: write `port = \d+` under \[server\] in ~/config.toml, or stop"
    assert re.match(pattern, check["cure"])
    assert found.exit_code == 3


def test_a_silent_service_is_recognized_on_its_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a booted system has the real control group."""
    monkeypatch.setattr(network, "is_the_service", lambda pid: pid == str(os.getpid()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = ServerSettings(addresses=("127.0.0.1",), port=silent.getsockname()[1])
        (check,) = network.examine(server, CONFIG)
    assert (check.level, check.code) == ("unknown", "service_silent")


def test_an_endless_response_on_our_port_does_not_block() -> None:
    stop = Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            while not stop.wait(0.01):
                connection.send(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = Thread(target=drip, args=(server,))
        sender.start()
        assert not network.is_mission_control(ip_address("127.0.0.1"), server.getsockname()[1])
        stop.set()
        sender.join()


IN_A_TAILNET = """
set -e
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
if [ {address} ]; then
    ip link add tailscale0 type dummy 2>/dev/null || ip link add tailscale0 type veth peer name peer
    ip address add {address} dev tailscale0
    ip link set tailscale0 up
fi
exec "$@"
"""


@pytest.mark.parametrize("has_command", [True, False])
@pytest.mark.parametrize("address", ["", "100.101.102.103/32"])
def test_a_missing_tailscale_address_is_reported(
    tmp_path: Path, address: str, *, has_command: bool
) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    if has_command:
        (tmp_path / "tailscale").write_text("#!/bin/sh\n")
        (tmp_path / "tailscale").chmod(0o755)
    script = f"PATH={tmp_path}:/usr/bin:/bin\n{IN_A_TAILNET.format(address=address)}"
    before = ["unshare", "--net", "--map-root-user", "sh", "-c", script, "sh"]
    found = report(tmp_path, path, *before, server=f"port = {free_port()}")
    if address:
        assert "tailscale_missing" not in found.codes
        assert any("100.101.102.103" in check["text"] for check in found.checks)
    else:
        level, cure = ("fault", "sudo tailscale up") if has_command else ("notice", "Install")
        assert found.check("tailscale_missing")["level"] == level
        assert found.check("tailscale_missing")["cure"].startswith(cure)


WHILE_SERVED = """
{python} -m dash_app serve --config {config} >/dev/null 2>&1 &
server=$!
until {python} -c "from http.client import HTTPConnection
connection = HTTPConnection('100.101.102.103', {port})
connection.request('GET', '/health')
connection.getresponse()" 2>/dev/null
do sleep 0.1; done
"$@"
code=$?
kill $server
wait $server
exit $code
"""


@pytest.mark.parametrize("allowed", ["tailscale", "192.0.2.1"])
def test_a_running_page_is_recognized_at_every_address(tmp_path: Path, allowed: str) -> None:
    path, port = make_database(tmp_path / "email.db", messages=3), free_port()
    config = tmp_path / "config.toml"
    script = IN_A_TAILNET.format(address="100.101.102.103/32").replace('exec "$@"', "set +e")
    script += WHILE_SERVED.format(python=quote(sys.executable), config=config, port=port)
    before = ["unshare", "--net", "--map-root-user", "sh", "-c", script, "sh"]
    server = f'port = {port}\nallowed_clients = ["{allowed}"]'
    found = report(tmp_path, path, *before, server=server)
    assert "port_taken" not in found.codes
    assert f"Mission Control is served at http://100.101.102.103:{port}/" in [
        check["text"] for check in found.checks
    ]


@pytest.mark.parametrize("closed", ["state", "state/history.db", "state/history.db-wal"])
def test_an_unwritable_history_is_reported(closed: str) -> None:
    with folder_of_nobody() as folder:
        path = make_database(folder / "email.db", messages=3)
        history = folder / "state" / "history.db"
        history.parent.mkdir()
        for file in (history, history.with_name("history.db-wal")):
            file.touch()
        give_to_nobody(folder)
        (folder / closed).chmod(0o500)
        config = write_config(folder, [("email", path)], server=f"port = {free_port()}")
        config.write_text(config.read_text().replace(str(folder / "history.db"), str(history)))
        found = Report(config, *as_nobody())
        (folder / closed).chmod(0o700)
    check = found.check("history_not_writable")
    assert check["cure"] == f"chmod u+rwX {folder / closed}"
    assert found.exit_code == 3


@as_root
@pytest.mark.parametrize("home", [True, False])
def test_a_history_folder_of_another_user_is_reported(*, home: bool) -> None:
    """A folder outside the home may belong to the system: its owner must not be changed."""
    with folder_of_nobody() as folder, public_folder() as elsewhere:
        path = make_database(folder / "email.db", messages=3)
        history = (folder if home else elsewhere) / "state"
        history.mkdir()
        config = write_config(folder, [("email", path)])
        text = config.read_text().replace(str(folder / "history.db"), str(history / "history.db"))
        config.write_text(text)
        found = Report(config, *AS_NOBODY)
    check = found.check("history_not_writable")
    assert "belongs to root" in check["text"]
    assert check["cure"].startswith(f"sudo chown nobody: {history}" if home else "Set another")


def test_a_clock_before_the_program_was_installed_is_wrong() -> None:
    check = clock.before_installation(1_500_000.0, 2_000_000.0)
    assert check is not None
    assert (check.level, check.code) == ("fault", "clock_wrong")
    assert check.text.endswith("but this program was installed on 24 Jan 1970, 03:33 UTC.")
    assert check.cure == "sudo timedatectl set-ntp true"
    assert clock.before_installation(1_999_990.0, 2_000_000.0) is None


def test_a_record_from_the_future_is_only_a_notice(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    with closing(sqlite3.connect(tmp_path / "history.db")) as history:
        migrate(history)
        history.execute("INSERT INTO watched VALUES ('email', 0, ?)", (int(time.time()) + 86_400,))
        history.commit()
    found = report(tmp_path, path)
    check = found.check("clock_set_back")
    assert check["level"] == "notice"
    assert "the last record is from" in check["text"]
    assert "clock_wrong" not in found.codes
    assert clock.before_record(1_999_990.0, 2_000_000.0, clock.CURE) is None


def test_the_kernel_reports_whether_the_clock_is_synchronized() -> None:
    assert clock.is_synchronized() in {True, False}


def test_what_cannot_be_told_is_said_once_and_calmly() -> None:
    """Of databases in danger, the end-to-end test shows what doctor says."""
    hidden = Surroundings(conflicts_unknown="programs outside this container are not seen")
    readings = {
        name: replace(good_reading(), surroundings=hidden) for name in ("email", "health")
    } | {"content": good_reading()}
    named = [database(name) for name in ("email", "content", "health", "away")]
    (check,) = conflicts_unknown(named, readings)
    assert (check.level, check.cure) == ("notice", "")
    assert check.text == (
        "Cannot tell whether programs are destroying Email and Health: "
        "programs outside this container are not seen."
    )


@pytest.mark.skipif(not CAN_MOUNT, reason="mounting takes root")
def test_a_hanging_mount_affects_only_its_database(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    (tmp_path / "mount").mkdir()
    mounted = tmp_path / "mount" / "content.db"
    with BadDisk(mounted, "hangs"):
        more = {"server": f"port = {free_port()}", "sampler": 'deadline = "500ms"'}
        config = write_config(tmp_path, [("content", mounted), ("email", path)], **more)
        found = Report(config)
    assert found.check("readable")["text"].endswith("3 rows in 1 table.")  # written just now: ≈
    assert found.check("not_responding")["text"].startswith("Content:")


def test_a_failing_or_hanging_part_does_not_affect_others() -> None:
    def fails() -> list[Check]:
        raise KeyError("anything")

    never = Event()

    def hangs() -> list[Check]:
        never.wait()
        return []

    (failed,) = doctor.checked("clock", fails, 5)
    (hanging,) = doctor.checked("clock", hangs, 0.1)
    never.set()
    assert (failed.level, failed.code) == ("unknown", "check_failed")
    assert (hanging.level, hanging.code) == ("unknown", "check_hangs")
    assert doctor.exit_code([failed, hanging]) == 4
    assert doctor.exit_code([failed, Check("fault", "port_taken", "")]) == 3
    assert doctor.exit_code([Check("notice", "not_wal", "")]) == 0


UNIT = """[Service]
ExecStart="{environment}/bin/python" -m dash_app serve
Environment="PYTHONPATH={app}"
{more}
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an installed unit, as if systemd ran this system."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(service, "BOOTED", tmp_path)
    monkeypatch.setattr(service, "LINGERING", tmp_path / "linger")
    (tmp_path / "linger").mkdir()
    folders = [tmp_path / "share" / name for name in ("app-0123456789ab", "environment-ba98765")]
    for folder in folders:
        folder.mkdir(parents=True)
    (folders[1] / "bin").mkdir()
    (folders[1] / "bin" / "python").symlink_to(sys.executable)
    write_unit(tmp_path, "PrivateUsers=yes")
    fake_systemctl(tmp_path, monkeypatch, "ActiveState=active\nMainPID=812\nUnitFileState=enabled")
    return tmp_path


def write_unit(home: Path, more: str) -> None:
    share = home / "share"
    file = home / ".config/systemd/user/mission-control.service"
    file.parent.mkdir(parents=True, exist_ok=True)
    app, environment = share / "app-0123456789ab", share / "environment-ba98765"
    file.write_text(UNIT.format(app=app, environment=environment, more=more))


def fake_systemctl(home: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Replace `systemctl` by a script that prints an answer, or fails without one."""
    script = f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n" if answer else "#!/bin/sh\nexit 1\n"
    (home / "systemctl").write_text(script)
    (home / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")


def service_checks() -> dict[str, dict[str, str]]:
    return {check.code: asdict(check) for check in service.examine()}


def test_a_service_without_lingering_is_reported(installed: Path) -> None:
    user = own_user_name()
    found = service_checks()
    assert found["not_lingering"]["level"] == "fault"
    assert found["not_lingering"]["cure"] == f"sudo loginctl enable-linger {user}"
    (installed / "linger" / user).touch()
    assert service_checks().keys() == {"service_installed", "service_running", "lingering"}


def test_the_installed_version_and_missing_folders_are_reported(installed: Path) -> None:
    found = service_checks()
    assert "environment-ba98765, app-0123456789ab" in found["service_installed"]["text"]
    assert found["service_running"]["text"] == "The service is running (pid 812)."
    (installed / "share" / "app-0123456789ab").rmdir()
    found = service_checks()
    assert "app-0123456789ab is gone" in found["service_folder_missing"]["text"]
    assert found["service_folder_missing"]["cure"] == "./ops/install"


def test_a_removed_python_is_reported(installed: Path) -> None:
    """A system upgrade may remove the Python that the environment links to."""
    python = installed / "share" / "environment-ba98765" / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.0")
    found = service_checks()["service_python_missing"]
    assert (found["level"], found["cure"]) == ("fault", "./ops/install")
    assert "/usr/bin/python3.0, was removed" in found["text"]


def test_the_unit_is_found_where_systemd_has_it(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd may have an XDG_CONFIG_HOME of its own (systemd/systemd issue 43586)."""
    usual = installed / ".config/systemd/user/mission-control.service"
    moved = usual.rename(installed / "mission-control.service")
    assert "service_not_installed" in service_checks()
    fake_systemctl(installed, monkeypatch, f"ActiveState=active\nMainPID=812\nFragmentPath={moved}")
    assert {"service_installed", "service_running"} <= service_checks().keys()


def test_an_ignored_configuration_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell's XDG_CONFIG_HOME does not reach the service, so it is ignored."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    path = make_database(tmp_path / "email.db", messages=3)
    assert "configuration_not_read" not in report(tmp_path, path).codes
    unread = tmp_path / "xdg" / "mission-control" / "config.toml"
    unread.parent.mkdir(parents=True)
    unread.touch()
    check = report(tmp_path, path).check("configuration_not_read")
    assert check["level"] == "notice"
    assert "xdg/mission-control/config.toml is not read" in check["text"]
    unread.unlink()
    unread.symlink_to(tmp_path / "config.toml")
    assert "configuration_not_read" not in report(tmp_path, path).codes


def test_a_reduced_unit_is_reported(installed: Path) -> None:
    write_unit(installed, "NoNewPrivileges=yes")
    assert "PrivateUsers=" in service_checks()["unit_reduced"]["text"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("ActiveState=inactive\nUnitFileState=disabled", ("service_not_running", "./ops/install")),
        ("ActiveState=inactive\nUnitFileState=enabled", ("service_not_running", "systemctl")),
        (
            "ActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled",
            ("service_not_running", "journalctl --user -u mission-control"),
        ),
        ("ActiveState=activating\nSubState=start", ("service_starting", "Check again")),
        ("", ("service_unknown", "sudo systemctl start user@")),
    ],
)
def test_a_stopped_service_is_reported(
    installed: Path, monkeypatch: pytest.MonkeyPatch, answer: str, expected: tuple[str, str]
) -> None:
    fake_systemctl(installed, monkeypatch, answer)
    code, cure = expected
    found = service_checks()[code]
    assert found["level"] == ("fault" if code == "service_not_running" else "unknown")
    assert found["cure"].startswith(cure)


def test_the_service_is_found_from_a_shell_of_another_user(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`su` and `sudo -E` keep XDG_RUNTIME_DIR (systemd/systemd issue 17901)."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/4711")
    script = f'[ "$XDG_RUNTIME_DIR" = /run/user/{os.geteuid()} ] && echo ActiveState=active'
    (installed / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
    assert "service_running" in service_checks()


def test_a_missing_service_is_reported(installed: Path) -> None:
    (installed / ".config/systemd/user/mission-control.service").unlink()
    found = service_checks()
    assert found.keys() == {"service_not_installed"}
    assert found["service_not_installed"]["cure"] == "./ops/install"


def test_a_system_without_systemd_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BOOTED", tmp_path / "none")
    assert service_checks()["no_systemd"]["level"] == "well"


def test_recent_refusals_are_reported(tmp_path: Path) -> None:
    """For example a client in a container, and an unknown host name."""
    path, port = make_database(tmp_path / "email.db", messages=3), free_port()
    server = f'port = {port}\naddresses = ["127.0.0.1"]\nallowed_clients = ["127.0.0.1"]'
    with Served(write_config(tmp_path, [("email", path)], server=server), port=port) as served:
        for _ in range(2):
            with socket.create_connection(
                ("127.0.0.1", port), source_address=("127.0.0.9", 0)
            ) as client:
                assert client.recv(1) == b""
        assert served.get("/glance", {"Host": "server.lan"})[0] == 400
        refused = served.json("/api/service")["refused"]
        assert [(refusal["kind"], refusal["name"], refusal["count"]) for refusal in refused] == [
            ("host", "server.lan", 1),
            ("client", "127.0.0.9", 2),
        ]
        assert (
            served.log.count("rejected client 127.0.0.9 at 127.0.0.1: not in allowed_clients") == 1
        )
        found = report(tmp_path, path, server=server)
        assert "127.0.0.9 at 127.0.0.1 (2 times" in found.check("client_refused")["text"]
        assert "server.lan at 127.0.0.1" in found.check("host_refused")["text"]


def test_an_address_without_allowed_clients_is_reported() -> None:
    """PowerDNS/pdns issue 1644: an empty access list looked like a network fault."""
    server = ServerSettings(addresses=("192.0.2.7",), port=free_port())
    check = next(
        check for check in network.examine(server, CONFIG) if check.code == "no_clients_allowed"
    )
    assert "192.0.2.7 is served, but only this machine" in check.text
    assert '"192.0.2.0/24"' in check.cure
    opened = server.model_copy(update={"allowed_clients": ("192.0.2.0/24",)})
    assert "no_clients_allowed" not in {check.code for check in network.examine(opened, CONFIG)}


def test_a_rule_for_a_missing_table_is_reported(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    config = write_config(tmp_path, [("email", path)])
    with config.open("a") as file:
        file.write("\n[databases.tables.mesages]\nmin_rows = 1\n")
    check = Report(config).check("no_such_table")
    assert check["text"] == "Email: mesages: no such table. Tables: messages."


def test_measures_that_fail_are_reported(tmp_path: Path) -> None:
    """Each is asked once, and the file of another database does not exist yet."""
    make_database(tmp_path / "email.db", messages=3, drafts=0)
    config = write_config(tmp_path, [(name, tmp_path / f"{name}.db") for name in ("late", "email")])
    queries = {
        "good": "SELECT count(*) FROM messages",
        "wrong": "SELECT nope FROM messages",
        "refused": "DELETE FROM messages",
        "void": "SELECT max(text) FROM drafts",
    }
    with config.open("a") as file:
        for name, sql in queries.items():
            file.write(f'\n[[databases.measures]]\nname = "{name}"\nsql = "{sql}"\n')
        window = 'rows_written = 1\nwindow = "02:00-03:00 UTC"'
        file.write(f'\n[[databases.measures]]\nname = "runs"\ntable = "runs"\n{window}\n')

    def answered() -> list[Check]:
        """The checks, if a busy machine let it ask all measures."""
        checks = list(measures.examine(settings.load(config)))
        is_busy = checks[-1].level != "well" or any("busy" in check.text for check in checks)
        return [] if is_busy else checks

    checks = eventually(answered)
    found = [
        ("notice", "measure_failed", "Email: Wrong: "),
        ("notice", "measure_failed", "Email: Refused: "),
        ("notice", "measure_failed", "Email: Runs: The"),
        ("well", "measures", "2 of 4 measures answered."),
    ]
    assert [(check.level, check.code) for check in checks] == [one[:2] for one in found]
    for check, (*_, text) in zip(checks, found, strict=True):
        assert check.text.startswith(text)
    assert "no such column: nope" in checks[0].text
    assert "drafts, messages" in checks[0].text
    assert "DELETE" in checks[1].text
    assert all(bool(check.cure) == (check.level != "well") for check in checks)
