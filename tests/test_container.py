"""Mission Control in a container: its files agree with the project, and its limits are reported.

`./ops/test-host tests/host/test_container.py` carries out the steps of the files.
"""

import logging
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from dash_app import settings
from dash_app.doctor import databases, network, service
from dash_app.history.writer import History
from dash_app.model.snapshot import DatabaseStatus
from dash_app.sampler import Sampler
from dash_app.settings import Settings
from tests.airlock_helpers import rows
from tests.factories import database, good_reading
from tests.harness import ROOT, LiveWriter, make_database, write_config
from tests.mounts import CAN_MOUNT

CONTAINERFILE = (ROOT / "ops" / "Containerfile").read_text()
STEPS = [
    line.split(maxsplit=1) for line in CONTAINERFILE.replace("\\\n", "").splitlines() if line[:1] > "#"
]
SERVICE: dict[str, Any] = yaml.safe_load((ROOT / "ops" / "compose.yml").read_text())["services"][
    "mission-control"
]
UNIT = (ROOT / "ops" / "mission-control.service").read_text()


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in STEPS if name == instruction]
