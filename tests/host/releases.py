"""Tarballs and wheels of the project's files, and of versions that do not exist yet."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dash_app import VERSION
from tests.harness import ROOT

BUILD = (sys.executable, "-m", "hatchling", "build", "--directory")


def make_release(folder: Path, version: str, additions: Mapping[str, str]) -> tuple[Path, Path]:
    """Build a tarball and a wheel of the files as they are now; return their paths.

    `version` replaces the version, and `additions` are appended to the files with these paths.
    """
    subprocess.run((*BUILD, folder, "--target", "sdist"), cwd=ROOT, check=True, capture_output=True)
    (tarball,) = folder.glob("*.tar.gz")
    subprocess.run(("tar", "-C", folder, "-xf", tarball), check=True)
    sources = folder / tarball.name.removesuffix(".tar.gz")
    tarball.unlink()
    (sources / "PKG-INFO").unlink()  # it has the version too
    main = sources / "dash_app" / "__init__.py"
    main.write_text(
        re.sub(rf'(?m)^VERSION = "{VERSION}"$', f'VERSION = "{version}"', main.read_text())
    )
    for name, text in additions.items():
        with (sources / name).open("a") as file:
            file.write(text + "\n")
    subprocess.run((*BUILD, folder), cwd=sources, check=True, capture_output=True)
    (tarball,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return tarball, wheel
