"""The commands that sentences name, spelled as the user starts them.

A clone or an unpacked tarball is started by a path, and an installed package by its own name.
"""

import os

RUN = os.environ.get("MISSION_CONTROL_COMMAND") or "./ops/run"
"""The command before its arguments. `ops/run`, the package and the service's unit set it."""

INSTALL = "./ops/install" if RUN == "./ops/run" else f"{RUN} install"
