"""Processes that need not load their modules: a service takes a second of a core for that.

Two processes of each pytest worker load what `serve` loads, and what the other commands load, once.
They fork a process for each service or command, which then runs it.
"""

import functools
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dash_app.cli import MODULES

NURSERY = """
import gc, importlib, json, os, sys
gc.disable()
for name in sys.argv[1:]:
    importlib.import_module(name)
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
for descriptor, path in enumerate(order["outputs"], 1):
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(output, descriptor)
    os.close(output)
sys.argv[1:] = order["arguments"]
exec(order["code"])
"""


COMMANDS = (
    "dash_app.cli.read_once",
    *(f"dash_app.cli.{name}" for name in sorted({*MODULES.values()})),
)
SERVICE = ("dash_app.cli.serve", "dash_app.service.service")


class Forked:
    """A process that runs Python code with our modules loaded; a Popen as far as tests need it.

    `outputs` are the files to which it appends what it prints, and its errors.
    """

    def __init__(
        self,
        code: str,
        arguments: list[str],
        outputs: tuple[Path, Path],
        environment: dict[str, str],
        modules: tuple[str, ...] = SERVICE,
    ) -> None:
        python = {name: value for name, value in environment.items() if name.startswith("PYTHON")}
        self._nursery = _nursery(json.dumps(python), modules)
        self.returncode: int | None = None
        self.pid = self._order(
            code=code,
            arguments=arguments,
            outputs=[str(output) for output in outputs],
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
def _nursery(python: str, modules: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start one with these settings of Python (JSON). It ends with this process."""
    return subprocess.Popen(
        [sys.executable, "-c", NURSERY, *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Threads of a library would not be forked.
        env={"PATH": os.environ["PATH"], **json.loads(python), "OPENBLAS_NUM_THREADS": "1"},
    )


def run_forked(
    arguments: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run one of our commands to its end. Raise subprocess.TimeoutExpired."""
    with TemporaryDirectory() as folder:
        outputs = (Path(folder, "printed"), Path(folder, "errors"))
        process = Forked("import dash_app.__main__", arguments, outputs, environment, COMMANDS)
        try:
            code = process.wait(60)
        except BaseException:
            process.kill()
            raise
        printed, errors = (output.read_text() for output in outputs)
    return subprocess.CompletedProcess(arguments, code, printed, errors)
