"""The commands work for unusual users, homes, terminals and networks."""

import ctypes
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dash_app.system import users
from dash_app.words import numbers
from tests.cli.helpers import environment
from tests.harness import ROOT, free_port, make_database, write_config

NAMELESS = 54321
AS_NAMELESS = ["unshare", f"--map-user={NAMELESS}", f"--map-group={NAMELESS}"]
"""Runs a command as a user id without a name, as in a container."""


def load(offset: int) -> bytes:
    return struct.pack("HBBI", 0x20, 0, 0, offset)


def jump_unless(value: int, skip: int) -> bytes:
    return struct.pack("HBBI", 0x15, 0, skip, value)


def return_value(value: int) -> bytes:
    return struct.pack("HBBI", 0x06, 0, 0, value)


SOCKET, EAFNOSUPPORT, ERROR, ALLOW = 41, 97, 0x50000, 0x7FFF0000
WITHOUT_IPV6 = b"".join(
    [
        *(load(0), jump_unless(SOCKET, 3), load(16), jump_unless(10, 1)),
        *(return_value(ERROR | EAFNOSUPPORT), return_value(ALLOW)),
    ]
)


def deny_ipv6() -> None:
    """Let the kernel behave for this process as if it had no IPv6 (seccomp(2), x86-64)."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(WITHOUT_IPV6)
    program = struct.pack("HxxxxxxP", len(WITHOUT_IPV6) // 8, ctypes.addressof(code))
    libc.prctl(38, 1, 0, 0, 0)
    assert libc.prctl(22, 2, program, 0, 0) == 0


def command(
    *arguments: object,
    home: dict[str, str],
    before: list[str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command with an environment of little more than `home`."""
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*(before or []), sys.executable, "-m", "dash_app", *map(str, arguments)],
        env=own | home,
        preexec_fn=prepare,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = make_database(tmp_path / "email.db", messages=3)
    return write_config(tmp_path, [("email", path)], server=f"port = {free_port()}")


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "/"}], ids=["none", "empty", "root"])
def test_commands_work_for_a_user_id_without_a_name(config: Path, home: dict[str, str]) -> None:
    """As with `docker run --user 54321`; such a user may not have a home either."""
    status = command("status", "--config", config, before=AS_NAMELESS, home=home)
    assert (status.returncode, status.stderr) == (0, "")
    assert "3 rows" in status.stdout
    doctor = command("doctor", "--config", config, before=AS_NAMELESS, home=home)
    assert "could not be checked" not in doctor.stdout
    assert re.search(r"ok   Email: (≈\s)?3 rows in 1 table\.", doctor.stdout)  # written just now
    assert "~" not in doctor.stdout


def test_a_user_without_a_name_is_shown_by_the_id() -> None:
    assert users.user_name(NAMELESS) == str(NAMELESS)
    assert users.own_user_name() == users.user_name(os.geteuid())


def test_a_home_at_the_root_shortens_no_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/")
    assert numbers.short_path(Path("/data/email.db")) == "/data/email.db"


def test_characters_that_a_terminal_cannot_show_are_escaped(tmp_path: Path) -> None:
    """A label may contain characters that a Latin-1 locale lacks."""
    path = make_database(tmp_path / "email.db", größe=3)
    config = write_config(tmp_path, [("email", path)])
    with config.open("a", encoding="utf-8") as file:
        file.write('\nlabel = "Büro 📬"\n')
    done = subprocess.run(
        [sys.executable, "-m", "dash_app", "status", "--config", config],
        env={**environment(tmp_path), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Büro \\U0001f4ec  Last write" in done.stdout.decode("latin-1")


def test_without_ipv6_the_page_is_served_over_ipv4(config: Path) -> None:
    """Kernel, container or unit may lack it, although the interface lists an IPv6 address."""
    port, home = free_port(), {"HOME": str(config.parent)}
    doctor = command("doctor", "--config", config, prepare=deny_ipv6, home=home)
    assert "::1" not in doctor.stdout
    assert "on 127.0.0.1 is" in doctor.stdout
    serve = ("serve", "--config", config, "--port", port, "--address", "::1")
    refused = command(*serve, prepare=deny_ipv6, home=home)
    text = f"Port {port} on ::1 cannot be served: Address family not supported by protocol.\n"
    assert (refused.returncode, refused.stderr) == (1, text)
