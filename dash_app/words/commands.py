"""The commands that sentences name, spelled as the user starts them.

A clone or an unpacked tarball is started by a path, and an installed package by its own name.
"""

import os
from pathlib import Path

from dash_app.words.numbers import short_path

RUN = os.environ.get("MISSION_CONTROL_COMMAND") or "./ops/run"
"""The command before its arguments. `ops/run`, the package and the service's unit set it."""

INSTALL = "./ops/install" if RUN == "./ops/run" else f"{RUN} install"


def other_port(port: int, configuration: Path) -> str:
    """Return how to serve the page on another port, without a full stop."""
    place = short_path(configuration)
    return f"Port {port} is free: write `port = {port}` under [server] in {place}"
