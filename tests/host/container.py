"""The image of `ops/Containerfile` and the container of `ops/compose.yml`, without an engine.

Each stage of the image is an unpacked Debian, in which its steps run. The container is a process
with the mounts, the user, the rights and the namespaces that the file names. Needs root.
"""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.harness import ROOT
from tests.host.machine import CACHE, INDEX_SETTINGS, PATH, run

SUITES = {"debian:13-slim": "trixie"}
OFFICIAL = """
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
"""
"""Official images keep no files of apt."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""This machine's, which may have more than the image's."""

BUILD = """
set -eu
root=$1 folder=$2
for name in proc dev sys; do mount --rbind "/$name" "$root/$name"; done
touch "$root/certificates"
mount --bind "$3" "$root/certificates"
shift 3
exec chroot "$root" env -C "$folder" "$@"
"""

START = """
set -eu
root=$1 folder=$2 proc=$3
shift 3
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
    shift 3
done
shift
[ "$proc" = host ] || ip link set lo up
[ "$proc" = host ] || mount -t proc proc "$root/proc"
[ "$proc" = own ] || mount --rbind /proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for name in null zero random urandom; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -o remount,bind,ro "$root"
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -C "$folder" "$@"
"""


class Image:
    """The last stage that `ops/Containerfile` describes, with its settings."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        self.folder = "/"
        self.user = "0:0"
        self.entrypoint: list[str] = []
        self._stages: dict[str, Path] = {}
        text = (ROOT / "ops" / "Containerfile").read_text().replace("\\\n", "")
        for line in text.splitlines():
            if line and not line.startswith("#"):
                instruction, _, rest = line.partition(" ")
                getattr(self, f"_{instruction.lower()}")(rest)

    def _from(self, rest: str) -> None:
        base, _, name = rest.partition(" AS ")
        self.root = CACHE / f"image-{name or 'final'}"
        self.environment, self.folder = {}, "/"
        self._stages[name] = self.root
        shutil.rmtree(self.root, ignore_errors=True)
        run("cp", "--archive", "--reflink=auto", _unpacked(SUITES[base]), self.root)
        for name in ("/etc/pip.conf", "/etc/resolv.conf"):
            if Path(name).is_file():
                shutil.copy(name, f"{self.root}{name}")

    def _run(self, rest: str) -> None:
        settings = {
            name: value.replace(CERTIFICATES, "/certificates")
            for name, value in os.environ.items()
            if name.startswith(INDEX_SETTINGS)
        }
        settings |= {"PATH": PATH, "PIP_CERT": "/certificates", **self.environment}
        pairs = [f"{name}={value}" for name, value in settings.items()]
        command = ["env", "-i", *pairs, "/bin/sh", "-c", rest]
        run(*_unshare(BUILD, self.root, self.folder, CERTIFICATES), *command, timeout=900)

    def _copy(self, rest: str) -> None:
        *sources, target = shlex.split(rest)
        if sources[0].startswith("--from="):
            stage = self._stages[sources.pop(0).partition("=")[2]]
            for source in sources:
                Path(f"{self.root}{target}").parent.mkdir(parents=True, exist_ok=True)
                run("cp", "--archive", f"{stage}{source}", f"{self.root}{target}")
            return
        files = run("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", *sources)
        script = 'tar -C "$1" -c -T - | tar -C "$2" -x'
        command = ["sh", "-c", script, "-", str(ROOT), f"{self.root}{self.folder}"]
        subprocess.run(command, input=files, text=True, check=True)

    def _workdir(self, rest: str) -> None:
        self.folder = rest
        Path(f"{self.root}{rest}").mkdir(exist_ok=True)

    def _env(self, rest: str) -> None:
        self.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))

    def _user(self, rest: str) -> None:
        self.user = rest

    def _entrypoint(self, rest: str) -> None:
        self.entrypoint = json.loads(rest)


def _unpacked(suite: str) -> Path:
    """Return the folder of a minimal Debian; make it once."""
    made = CACHE / f"minimal-{suite}"
    if not made.is_dir():
        new = CACHE / f"minimal-{suite}.new"
        shutil.rmtree(new, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        settings = CACHE / "apt.conf"
        lines = run("apt-config", "dump", "Acquire").splitlines()
        settings.write_text("\n".join(line for line in lines if "IndexTargets" not in line))
        run("mmdebstrap", "--variant=minbase", f"--aptopt={settings}", suite, new, timeout=900)
        (new / "etc/apt/apt.conf.d/official").write_text(OFFICIAL)
        new.rename(made)
    return made


def _unshare(script: str, *arguments: object, flags: Iterable[str] = ()) -> list[str]:
    start = ["unshare", "--mount", "--propagation", "private", *flags]
    return [*start, "bash", "-c", script, "-", *map(str, arguments)]


class Container:
    """The service of `ops/compose.yml`, whose folders are in a home of its own."""

    def __init__(self, image: Image, home: Path) -> None:
        self._image, self._home = image, home
        text = (ROOT / "ops" / "compose.yml").read_text()
        self._service: dict[str, Any] = yaml.safe_load(text)["services"]["mission-control"]
        self.healthcheck: list[str] = self._service["healthcheck"]["test"][1:]
        for source, target, _ in self._mounts():
            if not source.exists():  # a new volume gets the content and the rights of its folder
                run("cp", "--archive", f"{image.root}{target}", source)

    def _mounts(self) -> Iterator[tuple[Path, str, str]]:
        for volume in self._service["volumes"]:
            if isinstance(volume, str):
                name, target = volume.split(":")
                yield self._home / name, target, "rw"
            else:
                source = volume["source"].replace("~", str(self._home))
                yield Path(source), volume["target"], "ro" if volume["read_only"] else "rw"

    def command(self, *words: str, alone: bool = False) -> list[str]:
        """Return the command that starts the container with other words than its entry point.

        `alone` gives it namespaces of its own for processes and for the network.
        """
        own = {"pid": ("--pid", "--fork", "--kill-child"), "network_mode": ("--net",)}
        flags = [
            flag
            for key, value in own.items()
            for flag in value
            if alone or self._service.get(key) != "host"
        ]
        mounts = [part for mount in self._mounts() for part in mount]
        proc = "own" if "--pid" in flags else "host"
        uid, gid = self._service["user"].split(":")
        rights = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        if self._service["cap_drop"] == ["ALL"]:
            rights += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        if "no-new-privileges:true" in self._service["security_opt"]:
            rights += ["--no-new-privs"]
        environment = {"PATH": PATH, **self._image.environment}
        pairs = [f"{name}={value}" for name, value in environment.items()]
        start = _unshare(START, self._image.root, self._image.folder, proc, *mounts, flags=flags)
        return [*start, "--", "setpriv", *rights, "env", "-i", *pairs, *words]

    def run(self, *arguments: str, **options: bool) -> subprocess.CompletedProcess[str]:
        """Run a command of Mission Control in a new container."""
        return self.execute(*self._image.entrypoint, *arguments, **options)

    def execute(self, *words: str, **options: bool) -> subprocess.CompletedProcess[str]:
        """Run a program in a new container."""
        command = self.command(*words, **options)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start the container; return its process."""
        command = self.command(*self._image.entrypoint)
        with log.open("wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=output)
