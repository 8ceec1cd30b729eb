"""What the child does to itself before it touches anything.

It gives up writing, takes no more than its share of memory, and outlives nobody.
"""

from __future__ import annotations

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
"""How many file system rights each version knows: refer came with 2, truncate with 3."""

REFUSED_CALLS = {
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
"""System call numbers of what changes files, by machine."""

OPENING_CALLS = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}
"""Of `open` and `openat`: the call's number, and which argument holds the flags."""

WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process, stopped or not, when its parent ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it ended before the line above
        os._exit(0)


def refuse_writes() -> tuple[str, ...]:
    """Have the kernel deny this process every change to any file or its metadata.

    Returns by what it does so: "seccomp", "landlock", both or neither. To be called before the
    first thread starts. Seccomp reaches metadata and older kernels, Landlock any system call that
    is still to come.
    """
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    refused = {"seccomp": _refuse_by_seccomp(), "landlock": _refuse_by_landlock()}
    return tuple(name for name, does in refused.items() if does)


def _refuse_by_landlock() -> bool:
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


def _refuse_by_seccomp() -> bool:
    """Deny the calls that change files, and opening for writing; return whether the kernel does.

    Metadata too, since SQLite as root gives each log that it opens to the file's owner, which moves
    the log's ctime with each reading (robustFchown in sqlite.org's os_unix.c).
    """
    # A 32-bit program has other numbers for the calls of the same machine.
    machine = platform.machine() if sys.maxsize > 2**32 else ""
    if machine not in REFUSED_CALLS:
        return False
    refuse = _instruction(BPF_RETURN, SECCOMP_ERRNO | errno.EACCES)
    program = _instruction(BPF_LOAD_WORD, 0)  # the number of the call
    for call in REFUSED_CALLS[machine]:
        program += _instruction(BPF_JUMP_IF_EQUAL, call, otherwise=1) + refuse
    for call, flags in OPENING_CALLS[machine]:
        program += _instruction(BPF_JUMP_IF_EQUAL, call, otherwise=4)
        program += _instruction(BPF_LOAD_WORD, ARGUMENTS_OFFSET + 8 * flags)
        program += _instruction(BPF_JUMP_IF_ANY, WRITING_FLAGS, otherwise=1) + refuse
        program += _instruction(BPF_RETURN, SECCOMP_ALLOW)
    program += _instruction(BPF_RETURN, SECCOMP_ALLOW)
    instructions = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    refused: bool = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) == 0
    return refused


def _instruction(code: int, value: int, *, otherwise: int = 0) -> bytes:
    """Return one of a filter's; `otherwise` is how many to pass over where a test fails."""
    return struct.pack("HBBI", code, 0, otherwise, value)
