"""Service processes that need not load their modules, which takes a second of a core each time.

A process of each pytest worker loads what `serve` loads, once. It forks a process for each service,
which then runs the command.
"""

import functools
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

NURSERY = """
import gc, json, os, sys
gc.disable()
import dash_app.cli.serve, dash_app.service.service
gc.freeze()
for line in sys.stdin:
    order = json.loads(line)
    if ended := order.get("ended"):
        print(os.waitstatus_to_exitcode(os.waitpid(ended, 0)[1]), flush=True)
    elif pid := os.fork():
        print(pid, flush=True)
    else:
        break
else:
    sys.exit()
os.environ.clear()
os.environ.update(order["environment"])
os.chdir(order["folder"])
os.dup2(os.open(os.devnull, os.O_RDWR), 0)
log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
os.dup2(log, 1)
os.dup2(log, 2)
os.close(log)
sys.argv[1:] = order["arguments"]
exec(order["code"])
"""


class Forked:
    """A process that runs Python code with our modules loaded; a Popen as far as tests need it."""

    def __init__(
        self, code: str, arguments: list[str], log: Path, environment: dict[str, str]
    ) -> None:
        python = {name: value for name, value in environment.items() if name.startswith("PYTHON")}
        self._nursery = _nursery(json.dumps(python))
        self.returncode: int | None = None
        self.pid = self._order(
            code=code,
            arguments=arguments,
            log=str(log),
            environment=environment,
            folder=str(Path.cwd()),
        )
        self._end = os.pidfd_open(self.pid)

    def _order(self, **order: Any) -> int:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(order) + "\n")
        self._nursery.stdin.flush()
        return int(self._nursery.stdout.readline())

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal, or None while it runs."""
        if self.returncode is None and select.select([self._end], [], [], 0)[0]:
            self.returncode = self._order(ended=self.pid)
            os.close(self._end)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code. Raise subprocess.TimeoutExpired."""
        if self.returncode is None:
            select.select([self._end], [], [], timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("serve", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal unless it ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _nursery(python: str) -> subprocess.Popen[str]:
    """Start one with these settings of Python (JSON). It ends with this process."""
    return subprocess.Popen(
        [sys.executable, "-c", NURSERY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Threads of a library would not be forked.
        env={"PATH": os.environ["PATH"], **json.loads(python), "OPENBLAS_NUM_THREADS": "1"},
    )
