"""A booted Debian 12 with systemd as PID 1, and a neighbour on each of its networks.

    tailnet neighbour              the machine                  public neighbour
    100.64.1.2  tailscale0 ----- tailscale0 100.101.102.103
                                 eth0       203.0.113.10 ----- eth0  203.0.113.5

It is a container with its own disk, processes and networks, on this machine's kernel. Needs root.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from dash_app import VERSION
from tests.harness import eventually
from tests.host.proxy import Proxy
from tests.host.releases import make_release

CACHE = Path(os.environ.get("MISSION_CONTROL_HOST_CACHE", "/var/tmp/mission-control-host"))
PACKAGES = (
    "ca-certificates,curl,dbus,dbus-user-session,iproute2,initramfs-tools,iptables,libpam-systemd,"
    "linux-image-cloud-amd64,procps,python3,python3-venv,sqlite3,sudo,systemd,systemd-sysv,udev,ufw"
)
USER = "clawd"
BUS = {"XDG_RUNTIME_DIR": "/run/user/1000"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MACHINE, TAILNET, PUBLIC = "mission-host", "mission-tailnet", "mission-public"
PUBLIC_ADDRESS, TAILNET_ADDRESS = "203.0.113.10", "100.101.102.103"
TAILNET_ADDRESS_6 = "fd7a:115c:a1e0::1"
WIRE = "wire"
"""The name of tailscale0 while Tailscale is down."""

NETWORKS = f"""
ip -n {MACHINE} link set lo up
ip -n {PUBLIC} link set lo up
ip -n {TAILNET} link set lo up
ip -n {PUBLIC} link add eth0 type veth peer name eth0 netns {MACHINE}
ip -n {PUBLIC} address add 203.0.113.5/24 dev eth0
ip -n {PUBLIC} link set eth0 up
ip -n {MACHINE} address add {PUBLIC_ADDRESS}/24 dev eth0
ip -n {MACHINE} link set eth0 up
ip -n {PUBLIC} route add 100.64.0.0/10 via {PUBLIC_ADDRESS}
ip -n {TAILNET} link add tailscale0 type veth peer name {WIRE} netns {MACHINE}
ip -n {TAILNET} address add 100.64.1.2/32 dev tailscale0
ip -n {TAILNET} address add fd7a:115c:a1e0::2/48 dev tailscale0 nodad
ip -n {TAILNET} link set tailscale0 up
ip -n {TAILNET} route add 100.64.0.0/10 dev tailscale0
"""
"""The public neighbour routes the tailnet's addresses to the machine, as an attacker could."""

UNCOVER = """[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=-/usr/bin/umount /proc/kmsg
[Install]
WantedBy=sysinit.target
"""
"""The container has a deleted file there, so units with ProtectKernelLogs= could not mount."""

INDEX_SETTINGS = ("PIP_", "SSL_CERT_", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE")
"""Prefixes of the variables with which this machine reaches the package indexes."""


def run(*command: str | Path, check: bool = True, timeout: float = 300.0) -> str:
    """Run a command on this machine; return its output."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, errors="replace"
    )
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return (done.stdout + done.stderr).strip()


def disk() -> Path:
    """Return the folder of the disk that machines are copied from; make it once."""
    made = CACHE / "disk"
    if not made.is_dir():
        new = CACHE / "disk.new"
        shutil.rmtree(new, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        run(
            "mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", new, timeout=900
        )
        run("chroot", new, "useradd", "--create-home", "--shell", "/bin/bash", USER)
        run("systemctl", f"--root={new}", "mask", "apt-daily.timer", "apt-daily-upgrade.timer")
        (new / "etc/systemd/system/uncover.service").write_text(UNCOVER)
        run("systemctl", f"--root={new}", "enable", "uncover")
        (new / "etc/hostname").write_text("mission-host\n")
        (new / "etc/hosts").write_text("127.0.0.1 localhost mission-host\n::1 localhost\n")
        new.rename(made)
    return made


class Machine:
    """The machine, on a fresh disk. The next machine replaces the disk."""

    def __init__(self) -> None:
        self.disk = CACHE / "machine"
        shutil.rmtree(self.disk, ignore_errors=True)
        run("cp", "--archive", "--reflink=auto", disk(), self.disk)
        self._created = time.monotonic()
        self._proxy: dict[str, str] = {}

    def log(self, text: str) -> None:
        """Print a line with the time since the machine was created."""
        sys.stdout.write(f"{time.monotonic() - self._created:7.1f} s  {text}\n")
        sys.stdout.flush()

    def boot(self, *, tailscale: bool = True) -> None:
        """Boot with new networks, because the old ones still have the firewall's rules."""
        for name in (MACHINE, TAILNET, PUBLIC):
            run("ip", "netns", "delete", name, check=False)
            run("ip", "netns", "add", name)
        run("sh", "-ec", NETWORKS)
        if tailscale:
            self.tailscale_up()
        self._nspawn = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=(CACHE / "console.log").open("wb"),
            stderr=subprocess.STDOUT,
            preexec_fn=enter_cgroups,  # noqa: PLW1509
        )
        eventually(self._is_up)
        self.log("booted")

    def _is_up(self) -> bool:
        """Whether systemd has started everything. At first, nspawn's child is only a helper."""
        self._init = run("pgrep", "-P", str(self._nspawn.pid), check=False)
        state = self.run("systemctl", "is-system-running", check=False) if self._init else ""
        return state == "running"

    def _command(self) -> list[str]:
        settings = [f"--bind-ro={path}" for path in ("/etc/pip.conf",) if Path(path).is_file()]
        return [
            *("setpriv", "--pdeathsig", "KILL", "env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"),
            "SYSTEMD_SECCOMP=0",  # its own filter denies Landlock, unlike a server
            *("systemd-nspawn", "--boot", "--quiet", f"--directory={self.disk}"),
            *("--register=no", "--keep-unit", "--console=pipe", "--link-journal=no"),
            *("--resolv-conf=off", "--timezone=off", "--bind-ro=/etc/ssl/certs", *settings),
            "--capability=all",  # as on a server, so that the same calls fail
            f"--network-namespace-path=/run/netns/{MACHINE}",
            f"--machine={MACHINE}",
        ]

    def stop(self) -> None:
        """Shut down cleanly."""
        self._nspawn.terminate()
        self._nspawn.wait(60)
        self.log("shut down")

    def reboot(self) -> None:
        """Shut down and boot the same disk."""
        self.stop()
        self.boot()

    def tailscale_up(self, address: str = TAILNET_ADDRESS) -> None:
        """Create tailscale0 with an address, as tailscaled does."""
        run("ip", "-n", MACHINE, "link", "set", WIRE, "name", "tailscale0", check=False)
        for cidr in (f"{address}/32", f"{TAILNET_ADDRESS_6}/48"):
            run("ip", "-n", MACHINE, "address", "replace", cidr, "dev", "tailscale0", "nodad")
        run("ip", "-n", MACHINE, "link", "set", "tailscale0", "up")
        run("ip", "-n", MACHINE, "route", "replace", "100.64.0.0/10", "dev", "tailscale0")

    def tailscale_down(self) -> None:
        """Remove tailscale0."""
        run("ip", "-n", MACHINE, "address", "flush", "dev", "tailscale0")
        run("ip", "-n", MACHINE, "link", "set", "tailscale0", "down")
        run("ip", "-n", MACHINE, "link", "set", "tailscale0", "name", WIRE)

    def run(self, *command: str, user: str = "root", check: bool = True, **more: str) -> str:
        """Run a command in the machine; `more` is added to its environment."""
        home = "/root" if user == "root" else f"/home/{user}"
        environment = {"PATH": PATH, "HOME": home, "USER": user, "LANG": "C.UTF-8", **more}
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return run(
            *("nsenter", f"--target={self._init}", "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"),
            *([] if user == "root" else become),
            *("env", "-i", "-C", home, *(f"{name}={value}" for name, value in environment.items())),
            *command,
            check=check,
        )

    def user(self, script: str, *, check: bool = True) -> str:
        """Run a shell script as the ordinary user, who is not logged in."""
        return self.run("bash", "-c", script, user=USER, check=check, **self._proxy, **BUS)

    @contextmanager
    def online(self) -> Iterator[None]:
        """Let the user reach the package indexes through this machine."""
        settings = {
            name: value for name, value in os.environ.items() if name.startswith(INDEX_SETTINGS)
        }
        with Proxy(Path("/run/netns") / MACHINE) as link:
            self._proxy = {**settings, "https_proxy": link, "http_proxy": link}
            try:
                yield
            finally:
                self._proxy = {}

    def put_release(
        self, folder: str, version: str = VERSION, additions: Mapping[str, str] | None = None
    ) -> None:
        """Put a tarball and a wheel of the project into a folder of the user's home."""
        target = self.disk / "home" / USER / folder
        target.mkdir()
        with TemporaryDirectory() as built:
            for path in make_release(Path(built), version, additions or {}):
                shutil.copy(path, target)
        run("chown", "--recursive", "1000:1000", target)

    def unpack_project(self) -> None:
        """Unpack the tarball into the folder mission-control of the user's home, as README does."""
        self.put_release("download")
        self.user("mkdir mission-control")
        self.user("tar -C mission-control --strip-components 1 -xf download/*.tar.gz")
        self.user("rm -r download")

    def http(self, address: str, path: str = "/", *, of: str = TAILNET, port: int = 3001) -> str:
        """Return the HTTP status that a neighbour receives, or 000 if there is no response."""
        host = f"[{address}]" if ":" in address else address
        link = f"http://{host}:{port}{path}"
        command = ("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", link)
        return run("ip", "netns", "exec", of, *command, check=False)


def enter_cgroups() -> None:
    """Give the machine its own group in each hierarchy that systemd uses."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" or "name=systemd" in options.split(","):
            group = Path(where) / MACHINE
            with suppress(FileExistsError):
                group.mkdir()
            (group / "cgroup.procs").write_text("0")
