"""File systems mounted for a test: in memory, or served by the test itself; a `/proc` of its own.

Mounting requires root; `CAN_MOUNT` is whether this process may mount.
"""

import ctypes
import errno
import os
import stat
import struct
import traceback
from collections.abc import Callable
from pathlib import Path
from threading import Thread, Timer
from typing import Literal, Self

from tests.harness import PATIENCE_SECONDS

Behaviour = Literal["hangs", "fails"]

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT = 1, 32
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
MNT_FORCE, MNT_DETACH = 1, 2
CLONE_NEWNS, CLONE_NEWPID = 1 << 17, 1 << 29
CAP_SYS_ADMIN = 21


def _may_mount() -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(line for line in lines if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> CAP_SYS_ADMIN & 1) and Path("/dev/fuse").exists()


CAN_MOUNT = _may_mount()


def run_with_own_locks(test: Callable[[], None]) -> None:
    """Run a test in a process with its own pid namespace; fail if it fails.

    `/proc/locks` lists no locks of other tests there, and the programs that it starts end with it.
    """

    def inside() -> None:
        LIBC.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
        LIBC.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(0), None)
        test()

    def outside() -> None:
        assert LIBC.unshare(CLONE_NEWNS | CLONE_NEWPID) == 0
        assert _exit_code_of(inside) == 0

    assert _exit_code_of(outside) == 0, "see its standard error"


def _exit_code_of(function: Callable[[], None]) -> int:
    """Run a function in a fork of this process."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        function()
        code = 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        os._exit(code)


class Mount:
    """A file system mounted on a folder, which is created if it is missing."""

    def __init__(self, folder: Path, kind: str, options: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._kind, self._options = folder, kind, options
        self.mount(0)

    def mount(self, flags: int) -> None:
        """Mount it, or change its flags. Raise OSError if the kernel refuses."""
        kind, options = self._kind.encode(), self._options.encode()
        if LIBC.mount(kind, os.fsencode(self._folder), kind, ctypes.c_ulong(flags), options):
            raise OSError(ctypes.get_errno(), f"mount {self._kind}")

    def make_read_only(self) -> None:
        self.mount(MS_REMOUNT | MS_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        LIBC.umount2(os.fsencode(self._folder), MNT_FORCE | MNT_DETACH)


REQUEST = struct.Struct("IIQQIIII")
"""Length, operation, number, node, user, group, process and padding (linux/fuse.h)."""

LOOKUP, FORGET, GETATTR, OPEN, INTERRUPT, INIT, FORGET_MANY = 1, 2, 3, 14, 36, 26, 42
UNANSWERED = {FORGET, INTERRUPT, FORGET_MANY}
ROOT_NODE, FILE_NODE = 1, 2
REQUEST_BYTES = 1 << 20
LATER = 1 << 32
"""A time in the future: the file counts as just written and is opened for each reading."""


class BadDisk(Mount):
    """A disk with one file that cannot be read: each request hangs, or each read fails."""

    def __init__(self, path: Path, behaviour: Behaviour) -> None:
        self._name, self._behaviour = path.name.encode(), behaviour
        self._device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        super().__init__(path.parent, "fuse", options)
        self._server = Thread(target=self._serve)
        self._server.start()
        # A process that waits for the disk cannot be killed, so unmount it after a while.
        self._end = Timer(2 * PATIENCE_SECONDS, super().__exit__)
        self._end.start()

    def __exit__(self, *_: object) -> None:
        self._end.cancel()
        super().__exit__()
        self._server.join()
        os.close(self._device)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, REQUEST_BYTES)
            except OSError:  # unmounted
                return
            _length, operation, number, node, *_ = REQUEST.unpack_from(request)
            answer = self._answer(operation, node, request[REQUEST.size :])
            if answer is not None:
                error, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
                os.write(self._device, struct.pack("IiQ", 16 + len(body), error, number) + body)

    def _answer(self, operation: int, node: int, body: bytes) -> bytes | int | None:
        """Return the data of the response, or an error number, or None for no response."""
        if operation == INIT:
            return struct.pack("4I2H2I2H32x", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0)
        if operation in UNANSWERED or self._behaviour == "hangs":
            return None
        if operation == GETATTR:
            return struct.pack("QII", 0, 0, 0) + _attributes(node)
        if operation == LOOKUP and body == self._name + b"\0":
            return struct.pack("4Q2I", FILE_NODE, 0, 0, 0, 0, 0) + _attributes(FILE_NODE)
        if operation == LOOKUP:
            return errno.ENOENT
        return struct.pack("QII", 0, 0, 0) if operation == OPEN else errno.EIO


def _attributes(node: int) -> bytes:
    mode = stat.S_IFDIR | 0o755 if node == ROOT_NODE else stat.S_IFREG | 0o644
    times = (LATER, LATER, LATER, 0, 0, 0)
    return struct.pack("6Q10I", node, 8192, 16, *times, mode, 1, 0, 0, 0, 4096, 0)
