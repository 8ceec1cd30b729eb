"""Attempts that the unit should forbid; prints the outcome of each as JSON.

Run with the machine's own Python, outside the unit, where they all succeed, and inside.
"""

import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
HOME = Path.home()
RUNTIME = Path(f"/run/user/{os.getuid()}")
HISTORY = HOME / ".local/state/mission-control"
OTHER = int(sys.argv[1])
"""A process of the same user outside the unit."""

HOST_NAME = sys.argv[2]
"""The UTS namespace of the system."""


def call(name: str, *arguments: int) -> str:
    """Call the C library. Raise OSError if it fails."""
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
    return "done"


def done(action: Callable[..., object], *arguments: object) -> str:
    action(*arguments)
    return "done"


def read(path: Path) -> str:
    return path.read_bytes().decode(errors="replace").strip()


def write(path: Path) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.close(descriptor)
    return "done"


def write_to(path: Path) -> Callable[[], str]:
    return lambda: write(path)


def connect_to(path: str) -> Callable[[], str]:
    def connect() -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        return "done"

    return connect


def run_from(folder: Path) -> Callable[[], str]:
    """Write a program and run it."""

    def start() -> str:
        program = folder / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)
        try:
            subprocess.run([program], check=True)
        finally:
            program.unlink()
        return "done"

    return start


def run_32_bit_program() -> str:
    """Run a program that exits with 42 if 32-bit system calls are allowed, or else crashes."""
    base, code = 0x10000, bytes.fromhex("b801000000bb2a000000cd80f4")
    size = 84 + len(code)
    header = b"\x7fELF\x01\x01\x01" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000)
    descriptor = os.memfd_create("program", 0)
    os.write(descriptor, header + segment + code)
    path = f"/proc/{os.getpid()}/fd/{descriptor}"
    return "done" if subprocess.run([path], check=False).returncode == 42 else "crashed"


def make_root_program() -> str:
    path = HISTORY / "file"
    write(path)
    try:
        return done(path.chmod, 0o4700)
    finally:
        path.unlink()


def write_and_run_memory() -> str:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    return "done"


def change_owner() -> str:
    path = HISTORY / "file"
    write(path)
    try:
        return done(os.chown, path, os.getuid(), os.getgid())
    finally:
        path.unlink()


def make_and_remove() -> str:
    write(HISTORY / "file")
    return done((HISTORY / "file").unlink)


def netlink() -> str:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
    return "done"


def set_realtime() -> str:
    """Request an invalid priority: EINVAL means that realtime scheduling is allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(0))
    except OSError as error:
        if error.errno == errno.EINVAL:
            return "done"
        raise
    return "done"


def status(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write into the home": write_to(HOME / "new"),
    "write beside a database": write_to(HOME / "clawd/new"),
    "write a database": lambda: write(HOME / "clawd/coordination.db"),
    "change a database's mode": lambda: done((HOME / "clawd/coordination.db").chmod, 0o644),
    "write our history": make_and_remove,
    "write where all may": write_to(Path("/run/lock/new")),
    "write to another disk": write_to(Path("/srv/new")),
    "write own control group": lambda: done((cgroup() / "new").mkdir),
    "read a database": lambda: read(HOME / "clawd/coordination.db")[:6],
    "read a secret": lambda: read(HOME / ".ssh/id"),
    "see others' temporary files": lambda: read(Path("/tmp/theirs")),
    "see devices": Path("/dev/net").exists,
    "see the kernel's log": lambda: Path("/proc/kmsg").stat().st_mode & 0o777,
    "see kernel modules": lambda: len(list(Path("/usr/lib/modules").iterdir())) > 0,
    "see another's environment": lambda: len(Path(f"/proc/{OTHER}/environ").read_bytes()) > 0,
    "see who owns the system": lambda: Path("/etc/passwd").stat().st_uid,
    "reach the user's bus": connect_to(str(RUNTIME / "bus")),
    "reach the user's manager": connect_to(str(RUNTIME / "systemd/private")),
    "reach the system's bus": connect_to("/run/dbus/system_bus_socket"),
    "run what it wrote": run_from(HISTORY),
    "run from /tmp": run_from(Path("/tmp")),
    "run 32-bit calls": run_32_bit_program,
    "write and run memory": write_and_run_memory,
    "make a root program": make_root_program,
    "change an owner": change_owner,
    "bind to a processor": lambda: done(os.sched_setaffinity, 0, os.sched_getaffinity(0)),
    "trace a process": lambda: call("ptrace", 0, 0, 0, 0),
    "give up writing": lambda: call("syscall", 444, 0, 0, 1),
    "limit its memory": lambda: done(
        resource.setrlimit, resource.RLIMIT_DATA, resource.getrlimit(resource.RLIMIT_DATA)
    ),
    "ask for realtime": set_realtime,
    "ask the clock's state": lambda: call("adjtimex", ctypes.addressof(bytes_of(256))),
    "change personality": lambda: call("personality", 0x0040000),
    "enter a new namespace": lambda: call("unshare", 0x10000000),
    "open netlink": netlink,
    "gain rights by a program": lambda: "done" if status("NoNewPrivs") == "0" else "never",
    "hold capabilities": lambda: int(status("CapBnd"), 16) > 0,
    "leave its memory in a file": lambda: resource.getrlimit(resource.RLIMIT_CORE)[1] != 0,
    "make what others may read": lambda: os.umask(0) & 0o077 != 0o077,
    "share the host's name": lambda: str(Path("/proc/self/ns/uts").readlink()) == HOST_NAME,
    "share keys": lambda: int(LIBC.syscall(250, 0, -3, 0)),
}


def bytes_of(size: int) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(size)


def cgroup() -> Path:
    line = Path("/proc/self/cgroup").read_text().splitlines()[-1]
    return Path("/sys/fs/cgroup") / line.split("::/")[1]


def outcome(attempt: Callable[[], object]) -> object:
    try:
        return attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


json.dump({name: outcome(attempt) for name, attempt in ATTEMPTS.items()}, sys.stdout)
