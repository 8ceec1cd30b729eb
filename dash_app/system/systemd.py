"""What the service tells the service manager that started it, in the words of sd_notify(3)."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def tell(*facts: str) -> None:
    """Send facts such as `READY=1` in one message; without a service manager, to nobody."""
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    # A name that begins with @ stands for an abstract socket, unix(7).
    address = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.sendto("\n".join(facts).encode(), address)
    except OSError as error:
        log.warning("the service manager cannot be told %s: %s", facts[0], error)


def watchdog_seconds() -> float | None:
    """Return how often the manager wants a sign of life, sd_watchdog_enabled(3); None if never."""
    wanted = os.environ.get("WATCHDOG_USEC", "")
    if not wanted.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(wanted) / 1_000_000
