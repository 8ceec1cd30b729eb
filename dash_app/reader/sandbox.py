"""Restrict this process before it opens any file: no writes, and no life beyond its parent."""

import ctypes
import errno
import os
import platform
import signal
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_ALLOW = 0x7FFF0000
SECCOMP_ERRNO = 0x00050000
BPF_LOAD_WORD, BPF_JUMP_IF_EQUAL, BPF_JUMP_IF_ANY, BPF_RETURN = 0x20, 0x15, 0x45, 0x06
ARGUMENTS_OFFSET = 16
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_VERSION_FLAG = 1

EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15}
"""Number of file system rights in each version: 2 added refer, 3 added truncate."""

DENIED_CALLS = {
    "x86_64": (
        *(90, 91, 92, 93, 94, 260, 268, 452),  # chmod and chown in all their forms
        *(132, 188, 189, 190, 197, 198, 199, 235, 261, 280, 463, 466, 469),  # utime, attributes
        *(76, 77, 85, 285),  # truncate, creat, fallocate
        *(82, 86, 87, 88, 263, 264, 265, 266, 316),  # rename, link, unlink
        *(83, 84, 133, 258, 259),  # mkdir, rmdir, mknod
        *(425, 437),  # io_uring and openat2, which hide what they open from this filter
    ),
    "aarch64": (
        *(52, 53, 54, 55, 452),
        *(5, 6, 7, 14, 15, 16, 88, 463, 466, 469),
        *(45, 46, 47),
        *(35, 36, 37, 38, 276),
        *(33, 34),
        *(425, 437),
    ),
}
"""Numbers of the system calls that change files, by machine."""

OPENING_CALLS = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}
"""Numbers of `open` and `openat`, and the position of their argument with the flags."""

WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent exits, even while it is stopped."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it exited before the line above
        os._exit(0)


def deny_writes() -> tuple[str, ...]:
    """Ask the kernel to deny this process all changes to files and their metadata.

    Return the names of the guards in force: "seccomp", "landlock", both or neither. Call this
    before the first thread starts. Seccomp also covers metadata and older kernels; Landlock also
    covers system calls that future kernels add.
    """
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    in_force = {"seccomp": _deny_by_seccomp(), "landlock": _deny_by_landlock()}
    return tuple(name for name, is_in_force in in_force.items() if is_in_force)


def _deny_by_landlock() -> bool:
    """Deny write, create, remove and truncate by Landlock (Linux 5.13 and later).

    Open pipes keep working (docs.kernel.org/userspace-api/landlock.html). Return whether it is in
    force.
    """
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_VERSION_FLAG)
    if version < 1:
        return False
    rights = (1 << RIGHTS_BY_VERSION.get(version, 15)) - 1
    denied = struct.pack("Q", rights & ~(EXECUTE | READ_FILE | READ_DIR))
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, denied, ctypes.c_size_t(len(denied)), 0)
    if ruleset < 0:
        return False
    is_in_force: bool = libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return is_in_force


def _deny_by_seccomp() -> bool:
    """Deny system calls that change files, and opening files for writing.

    Metadata is covered too: as root, SQLite gives each WAL that it opens to the owner of the main
    file, which would change the WAL's ctime with each reading (robustFchown in SQLite's os_unix.c).
    Return whether it is in force.
    """
    # On the same machine, a 32-bit program uses other numbers.
    machine = platform.machine() if sys.maxsize > 2**32 else ""
    if machine not in DENIED_CALLS:
        return False
    deny = _instruction(BPF_RETURN, SECCOMP_ERRNO | errno.EACCES)
    program = _instruction(BPF_LOAD_WORD, 0)  # the number of the call
    for call in DENIED_CALLS[machine]:
        program += _instruction(BPF_JUMP_IF_EQUAL, call, otherwise=1) + deny
    for call, flags in OPENING_CALLS[machine]:
        program += _instruction(BPF_JUMP_IF_EQUAL, call, otherwise=4)
        program += _instruction(BPF_LOAD_WORD, ARGUMENTS_OFFSET + 8 * flags)
        program += _instruction(BPF_JUMP_IF_ANY, WRITING_FLAGS, otherwise=1) + deny
        program += _instruction(BPF_RETURN, SECCOMP_ALLOW)
    program += _instruction(BPF_RETURN, SECCOMP_ALLOW)
    instructions = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    is_in_force: bool = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) == 0
    return is_in_force


def _instruction(code: int, value: int, *, otherwise: int = 0) -> bytes:
    """Encode an instruction. `otherwise` is the number of instructions to skip if a test fails."""
    return struct.pack("HBBI", code, 0, otherwise, value)
