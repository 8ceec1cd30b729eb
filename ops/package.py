"""The command of an installed package: ops/run with the libraries of its environment."""

import json
import os
import shlex
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

NAME = "sqlite-mission-control"


def command() -> str:
    """Return how the user starts this package again."""
    folders = Path(sys.prefix).parts
    if "UV" in os.environ and any(folder.startswith("archive-") for folder in folders):
        return f"uvx {source('--from')}{NAME}"
    if "pipx" in folders and "venvs" not in folders:
        return f"pipx run {source('--spec')}{NAME}"
    return NAME if shutil.which(NAME) else shlex.quote(sys.argv[0])


def source(option: str) -> str:
    """Return the option that names where the package is from; nothing if it is from an index."""
    direct = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")  # PEP 610
    if not direct:
        return ""
    kind = f"{direct['vcs_info']['vcs']}+" if "vcs_info" in direct else ""
    return f"{option} {shlex.quote(kind + direct['url'])} "


def main() -> None:
    """Replace this process by ops/run."""
    bash = shutil.which("bash")
    if sys.platform != "linux" or not bash:
        sys.exit("Mission Control needs Linux and bash.")
    os.environ["MISSION_CONTROL_COMMAND"] = command()
    os.environ["MISSION_CONTROL_ENVIRONMENT"] = sys.prefix
    # ops/install finds the Python of uv, too, which is not in PATH.
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{sys.base_prefix}/bin"
    run = str(Path(__file__).with_name("run"))
    os.execv(bash, ["bash", run, *sys.argv[1:]])  # noqa: S606
