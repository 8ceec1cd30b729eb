"""The unit is valid, and refused installations give a reason; tests/host does the rest."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.harness import ROOT

TEMPLATE = (ROOT / "ops" / "mission-control.service").read_text()
NEEDS_NAMESPACE = re.compile(r"^# With a user namespace.*?^$", re.DOTALL | re.MULTILINE)
"""The part of the unit that ops/install omits from the reduced unit."""

IN_A_SYSTEM = """
set -e
mount -t tmpfs none /run
{made}
exec {become} {script}
"""


def install(
    *arguments: str, home: str = "/", systemd: bool = True, become: str = ""
) -> tuple[int, str]:
    """Run ops/install as root in its own namespaces; return exit code and standard error."""
    made = "mkdir -p /run/systemd/system" if systemd else ""
    script = shlex.join([f"{ROOT}/ops/install", *arguments])
    script = IN_A_SYSTEM.format(made=made, become=become, script=script)
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script],
        env={"PATH": os.environ["PATH"], "HOME": home},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("text", [TEMPLATE, NEEDS_NAMESPACE.sub("", TEMPLATE)], ids=["", "reduced"])
def test_systemd_accepts_the_unit_without_warnings(text: str, tmp_path: Path) -> None:
    for name, value in (
        ("app", ROOT),
        ("environment", ROOT / ".venv"),
        ("command", "./ops/run"),
        ("history", tmp_path),
    ):
        text = text.replace(f"@{name}@", str(value))
    unit = tmp_path / "mission-control.service"
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--recursive-errors=no", unit],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "mission-control.service" not in done.stderr


def test_the_reduced_unit_omits_only_what_needs_a_namespace() -> None:
    reduced = NEEDS_NAMESPACE.sub("", TEMPLATE)
    for directive in ("PrivateUsers", "ProtectHome", "CapabilityBoundingSet", "@history@"):
        assert directive in TEMPLATE
        assert directive not in reduced
    for directive in ("SystemCallFilter", "OOMScoreAdjust", "WantedBy"):
        assert directive in reduced


def test_a_wrong_option_is_a_usage_error() -> None:
    code, errors = install("--nonsense")
    assert code == 2
    assert errors.startswith("Usage:")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--purge"], "--purge needs --uninstall."),
        ([], "a service of root can read everything"),
        (["--as-root"], "HOME is /nowhere, which does not belong to root"),
    ],
)
def test_a_refused_installation_has_one_line(arguments: list[str], reason: str) -> None:
    code, errors = install(*arguments, home="/nowhere")
    assert code == 1
    assert reason in errors
    assert errors.count("\n") == 1


def test_without_systemd_the_alternative_is_named() -> None:
    code, errors = install(systemd=False)
    assert code == 1
    assert "systemd does not run on this system" in errors
    assert "./ops/run" in errors


def test_for_a_user_id_without_a_name_the_alternative_is_named() -> None:
    """systemd runs services only for users with a name."""
    code, errors = install(become="unshare --user --map-user=54321")
    assert code == 1
    assert errors == (
        "User id 54321 has no name, so systemd cannot run services for it."
        " To run without a service: ./ops/run\n"
    )


@pytest.mark.parametrize("port", ["0", "65536", "http", ""])
def test_an_invalid_port_of_the_firewall_is_rejected(port: str) -> None:
    done = subprocess.run(
        [ROOT / "ops" / "firewall", "apply", "--port", port],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "--port needs a number from 1 to 65535.\n"
