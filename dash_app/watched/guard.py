"""What the child does to itself before it touches anything: give up writing, and outlive nobody."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_ALLOW = 0x7FFF0000
SECCOMP_ERRNO = 0x00050000
BPF_LOAD_WORD, BPF_JUMP_IF_EQUAL, BPF_RETURN = 0x20, 0x15, 0x06
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_VERSION_FLAG = 1

EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15}
"""How many file system rights each version knows: refer came with 2, truncate with 3."""

METADATA_CALLS = {
    # chmod, chown, utime and setxattr in all their forms
    "x86_64": (90, 91, 92, 93, 94, 132, 188, 189, 190, 235, 260, 261, 268, 280, 452),
    "aarch64": (5, 6, 7, 52, 53, 54, 55, 88, 452),
}
"""System call numbers of what changes a file's metadata, which Landlock does not cover."""

libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process, stopped or not, when its parent ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it ended before the line above
        os._exit(0)


def refuse_writes() -> bool:
    """Have the kernel deny this process every change to any file or its metadata.

    Returns whether it can. To be called before the first thread starts.
    """
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _refuse_metadata_changes()
    return _refuse_content_changes()


def _refuse_content_changes() -> bool:
    """Deny write, create, remove and truncate by Landlock, which Linux has from 5.13 on.

    Pipes that are open already go on working (docs.kernel.org/userspace-api/landlock.html).
    """
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_VERSION_FLAG)
    if version < 1:
        return False
    rights = (1 << RIGHTS_BY_VERSION.get(version, 15)) - 1
    denied = struct.pack("Q", rights & ~(EXECUTE | READ_FILE | READ_DIR))
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, denied, ctypes.c_size_t(len(denied)), 0)
    if ruleset < 0:
        return False
    refused: bool = libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return refused


def _refuse_metadata_changes() -> None:
    """Deny them by seccomp: SQLite as root gives each log that it opens to the file's owner.

    That moves the log's ctime (robustFchown in sqlite.org's os_unix.c) with each reading.
    """
    calls = METADATA_CALLS.get(platform.machine(), ())
    jumps = [
        struct.pack("HBBI", BPF_JUMP_IF_EQUAL, len(calls) - position, 0, call)
        for position, call in enumerate(calls)
    ]
    program = b"".join(
        [
            struct.pack("HBBI", BPF_LOAD_WORD, 0, 0, 0),  # the number of the call
            *jumps,
            struct.pack("HBBI", BPF_RETURN, 0, 0, SECCOMP_ALLOW),
            struct.pack("HBBI", BPF_RETURN, 0, 0, SECCOMP_ERRNO | errno.EPERM),
        ]
    )
    instructions = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0)
