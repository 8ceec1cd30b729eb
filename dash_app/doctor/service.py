"""Whether the service is installed, running, and started at boot."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dash_app.doctor.check import Check
from dash_app.system.processes import IS_CONTAINER
from dash_app.system.users import own_user_name
from dash_app.words import numbers
from dash_app.words.commands import INSTALL, RUN

UNIT = "mission-control.service"
UNIT_FILE = Path("~/.config/systemd/user") / UNIT
BOOTED = Path("/run/systemd/system")
"""Exists if systemd runs the system (sd_booted(3))."""

LINGERING = Path("/var/lib/systemd/linger")
SYSTEMCTL_SECONDS = 5.0
PROPERTIES = "ActiveState,SubState,MainPID,UnitFileState,FragmentPath"


def unit_file() -> Path:
    """Return the path of the unit. systemd knows it better: it may have an XDG_CONFIG_HOME."""
    found = (_unit_properties() or {}).get("FragmentPath")
    return Path(found) if found else UNIT_FILE.expanduser()


def examine() -> Iterator[Check]:
    """Yield the checks of the service; only one if systemd does not run this system."""
    if not BOOTED.is_dir():
        text = "systemd does not run this system: there is no service."
        cure = f"{RUN} serves the page while it runs."
        if IS_CONTAINER:
            text, cure = "This is a container: its engine starts and restarts the service.", ""
        yield Check("well", "no_systemd", text, cure)
        return
    file = unit_file()
    if not file.is_file():
        text = f"Not installed as a service: the page is served only while {RUN} runs."
        yield Check("notice", "service_not_installed", text, INSTALL)
        return
    yield from _unit(file.read_text(encoding="utf-8", errors="replace"))
    yield _state()
    yield _lingering(own_user_name())


def _unit(text: str) -> Iterator[Check]:
    """Yield which version a unit runs, and whether it is complete."""
    folders = [Path(name) for name in re.findall(r"/[^\"\s]*/(?:app|environment)-[0-9a-f]+", text)]
    gone = [folder for folder in folders if not folder.is_dir()]
    names = ", ".join(dict.fromkeys(folder.name for folder in folders)) or "unknown"
    pythons = [folder / "bin" / "python" for folder in folders if folder.name[0] == "e"]
    if gone:
        found = f"The service's folder {numbers.short_path(gone[0])} is gone."
        yield Check("fault", "service_folder_missing", found, INSTALL)
    elif missing := [python for python in pythons if not python.exists()]:
        target = missing[0].readlink() if missing[0].is_symlink() else missing[0]
        found = f"The service cannot start: its Python, {target}, was removed."
        yield Check("fault", "service_python_missing", found, INSTALL)
    else:
        yield Check("well", "service_installed", f"Installed as a service: {names}.")
    if not re.search(r"^PrivateUsers=yes", text, re.MULTILINE):
        found = "The service runs without PrivateUsers=: your home is not read-only for it."
        cure = f"Allow user namespaces, then run {INSTALL}"
        yield Check("notice", "unit_reduced", found, cure)


def _state() -> Check:
    if is_the_service("self"):
        return Check("well", "service_running", "The service is running: this is it.")
    found = _unit_properties()
    if found is None:
        text = "This user's systemd does not answer: unknown whether the service runs."
        cure = f"sudo systemctl start user@{os.geteuid()}.service"
        return Check("unknown", "service_unknown", text, cure)
    state, pid = found.get("ActiveState", "unknown"), found.get("MainPID", "0")
    if state in {"active", "reloading"}:
        return Check("well", "service_running", f"The service is running (pid {pid}).")
    if state == "activating" and found.get("SubState") == "start":
        return Check("unknown", "service_starting", "The service is starting.", "Check again soon.")
    if found.get("UnitFileState") != "enabled":
        return Check("fault", "service_not_running", "The service is not enabled.", INSTALL)
    if state == "inactive":
        text, cure = "The service was stopped.", f"systemctl --user start {UNIT}"
    else:
        text, cure = "The service exits as soon as it starts.", f"journalctl --user -u {UNIT} -n 20"
    return Check("fault", "service_not_running", text, cure)


def is_the_service(pid: str) -> bool:
    """Whether a process belongs to the service, by its control group."""
    try:
        return f"/{UNIT}" in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False


def _unit_properties() -> dict[str, str] | None:
    """Return properties of the unit; None if systemd does not answer, as in the sandbox."""
    command = ["systemctl", "--user", "show", UNIT, "-p", PROPERTIES]
    runtime = f"/run/user/{os.geteuid()}"  # `su` and `sudo -E` keep that of another user
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "XDG_RUNTIME_DIR": runtime},
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=SYSTEMCTL_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _lingering(user: str) -> Check:
    if (LINGERING / user).exists():
        return Check("well", "lingering", "The service starts at boot, without a login.")
    text = f"The service runs only while {user} is logged in."
    return Check("fault", "not_lingering", text, f"sudo loginctl enable-linger {user}")
