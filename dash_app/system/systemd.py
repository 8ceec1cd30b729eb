"""Messages to the service manager that started this process (sd_notify(3))."""

import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(*facts: str) -> None:
    """Send facts such as `READY=1` in one message. Do nothing without a service manager."""
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    # A name that starts with @ means an abstract socket (unix(7)).
    address = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto("\n".join(facts).encode(), address)
    except OSError as error:
        log.warning("could not send %s to systemd: %s", facts[0], error)


def watchdog_seconds() -> float | None:
    """Return the interval of watchdog pings (sd_watchdog_enabled(3)); None if disabled."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    is_for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1_000_000 if microseconds.isdigit() and is_for_us else None
