"""Processes of this machine: names, locks, open files, use of memory and processor.

From `/proc`, so that no watched file is opened. The reader's child uses this module too: standard
library only, and no pathlib, which costs memory.
"""

import os
import re
import resource
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

END_OF_FILE = (1 << 63) - 1

READER = "\0-m\0dash_app.reader"
"""In the command line of each process that opens watched files: see `airlock`."""

IS_CONTAINER = "container" in os.environ and not os.path.exists("/run/systemd/system")
"""Whether this is a container for one program. Podman and our own image set the variable
(systemd.io/CONTAINER_INTERFACE); a container with systemd is a machine of its own."""

FIRST_PID_NAMESPACE = f"pid:[{0xEFFFFFFC}]"
"""The namespace that the kernel starts with has a fixed number (include/linux/proc_ns.h)."""

CONTAINER = re.compile(r"[0-9a-f]{64}|(?<=/lxc\.payload\.)[^/\n]+|(?<=/lxc/)[^/\n]+")
"""A container in the path of a control group: of Docker, Podman, Kubernetes, or of LXC."""

UNIT = re.compile(r"[^/\n]+\.(?:service|scope)(?=/|$)", re.MULTILINE)

RECORD_LOCKS, NO_FILE = {"POSIX", "OFDLCK"}, "<none>:0"
"""Kinds of lines of `/proc/locks`, such as "2: POSIX  ADVISORY  READ 812 08:02:1234 120 123".

Leases and flock(2) locks are of other kinds, and a process that waits has an arrow in its place.
OFDLCK locks belong to no process: their pid is -1 (proc_locks(5)).
"""


PIECE_LINES = 50
"""A shorter list comes in one piece, of 4 kB. Of a longer one, a lock may be missing if another one
was released between two pieces, so it is read twice."""


class RecordLock(NamedTuple):
    """A lock on a range of bytes of a file. `file` is its device and inode."""

    pid: int
    is_write: bool
    file: tuple[int, int]
    first: int
    last: int


def record_locks() -> set[RecordLock]:
    """Return the record locks of all processes that this process may see.

    Some are missing. A file system may show another device number there than stat(2) does,
    as Btrfs and overlayfs do. Locks of other pid namespaces are missing, and a sandbox may have no
    list at all. `dash_app.reader.locks.find_lock` finds those locks too.
    """
    lines: set[str] = set()
    with suppress(OSError), open("/proc/locks", encoding="ascii", errors="replace") as file:
        lines.update(text := file.read().splitlines())
        if len(text) > PIECE_LINES:
            file.seek(0)
            lines.update(file.read().splitlines())
    locks = {parse_lock(line.partition(":")[2]) for line in lines}
    return {lock for lock in locks if lock}


@lru_cache(maxsize=4096)
def parse_lock(line: str) -> RecordLock | None:
    """Parse a line without its number; most are the same again at the next tick."""
    try:
        kind, *_advisory, mode, pid, file, first, last = line.split()
        if kind not in RECORD_LOCKS or file == NO_FILE:
            return None
        end = END_OF_FILE if last == "EOF" else int(last)
        return RecordLock(int(pid), mode == "WRITE", _file_id(file), int(first), end)
    except ValueError:  # a line of a later kernel
        return None


def _file_id(text: str) -> tuple[int, int]:
    major, minor, inode = text.split(":")
    return os.makedev(int(major, 16), int(minor, 16)), int(inode)


def sees_all_processes() -> bool:
    """Whether `/proc` shows every process of the machine: not in a pid namespace of a container."""
    try:
        return os.readlink("/proc/self/ns/pid") == FIRST_PID_NAMESPACE
    except OSError:
        return False


def command_name(pid: int) -> str:
    """Return the name of a process's command, or "A program" if it is unknown."""
    return (printable(_read(f"{pid}/comm").strip()) if pid > 0 else "") or "A program"


def is_reader(pid: int) -> bool:
    """Whether a process is a reader of Mission Control, which writes to no database.

    Its name proves nothing: another program may have the same one.
    """
    return READER in _read(f"{pid}/cmdline")


def printable(text: str) -> str:
    """Replace characters that would move a terminal's cursor or turn a text around."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def process_label(pid: int) -> str:
    """Return for instance "node (pid 812)", or "A program" if the pid is not positive."""
    return f"{command_name(pid)} (pid {pid})" if pid > 0 else command_name(pid)


def unit_of(pid: int) -> str | None:
    """Return the systemd unit of a process, or its container; None if it has neither.

    From its control group (proc_pid_cgroup(5)), which every user may read.
    """
    path = _read(f"{pid}/cgroup")
    if container := CONTAINER.search(path):
        return f"container {container[0][:12]}"
    units = UNIT.findall(path)  # the last line is that of systemd, in both versions of cgroups
    return printable(units[-1]) if units else None


def has_mounted_alone(pid: int, path: str) -> bool:
    """Whether a process may see a file by another name than in its folder: by a mount of its own.

    From proc_pid_mountinfo(5), where the fourth field is what is mounted.
    """
    mounts = _read(f"{pid}/mountinfo").splitlines()
    name = os.path.basename(path).translate({ord(c): f"\\{ord(c):03o}" for c in "\\ \t\n"})
    return not mounts or any(mount.split(" ")[3].endswith(f"/{name}") for mount in mounts)


def count_open_files(pid: int | str, files: set[str]) -> int:
    """Count the descriptors that a process has of files, which are given as "DEVICE:INODE"."""
    count = 0
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                info = entry.stat()
                count += f"{info.st_dev}:{info.st_ino}" in files
    return count


def bytes_written(pid: int) -> int:
    """Return the number of bytes that a process passed to write(2) and similar calls.

    0 if it has exited. This is `wchar` of proc_pid_io(5). Its `write_bytes` would count access
    times too, which change when a file is read.
    """
    return _number(f"{pid}/io", "wchar:") or 0


def memory_bytes(pid: int | str) -> int | None:
    """Return the proportional memory (Pss) of a process; None if it has exited."""
    kilobytes = _number(f"{pid}/smaps_rollup", "Pss:")
    return None if kilobytes is None else kilobytes * 1024


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used; 0 if it has exited."""
    fields = _read(f"{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def limit_memory(max_bytes: int) -> None:
    """Limit the heap and the stacks of this process (setrlimit(2))."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(ValueError):  # a lower limit is already in force
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, hard))


def _read(name: str) -> str:
    """Read a file of `/proc`. Return an empty text if it is missing or may not be read."""
    try:
        with open(f"/proc/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _number(name: str, label: str) -> int | None:
    """Read the number that follows a label at the start of a line of a file of `/proc`."""
    lines = _read(name).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(label)), None)
