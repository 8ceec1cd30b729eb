"""The machine's disk in a virtual machine, where Debian's kernel enforces memory limits."""

from tests.host.machine import CACHE, Machine, run

MAX_SECONDS = 600
"""Without hardware acceleration, it boots in half a minute and runs ten times slower."""

SERVICE = """[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/bash /usr/local/sbin/script
ExecStopPost=/usr/bin/systemctl poweroff --force
StandardOutput=file:/dev/ttyS1
StandardError=inherit
[Install]
WantedBy=multi-user.target
"""


def run_in_virtual_machine(machine: Machine, script: str) -> str:
    """Run a script as root on a copy of the disk of a stopped machine; return its output."""
    etc = machine.disk / "etc"
    (machine.disk / "usr/local/sbin/script").write_text(script)
    (etc / "systemd/system/script.service").write_text(SERVICE)
    run("systemctl", f"--root={machine.disk}", "enable", "script")
    image, printed = CACHE / "virtual.img", CACHE / "virtual.log"
    image.unlink(missing_ok=True)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", machine.disk, image, "4G")
    run("systemctl", f"--root={machine.disk}", "disable", "script")
    (etc / "systemd/system/script.service").unlink()
    boot = machine.disk / "boot"
    kernel, initrd = next(boot.glob("vmlinuz-*")), next(boot.glob("initrd.img-*"))
    run(
        *("timeout", str(MAX_SECONDS), "qemu-system-x86_64", "-machine", "q35", "-cpu", "max"),
        *("-accel", "tcg,thread=multi", "-smp", "2", "-m", "1536", "-no-reboot"),
        *("-kernel", kernel, "-initrd", initrd),
        *("-append", "root=/dev/vda rw quiet console=ttyS0 panic=-1"),
        *("-drive", f"file={image},if=virtio,format=raw,cache=unsafe"),
        *("-serial", f"file:{CACHE / 'virtual-console.log'}", "-serial", f"file:{printed}"),
        *("-nic", "none", "-display", "none", "-monitor", "none"),
        timeout=MAX_SECONDS + 10,
    )
    image.unlink()
    return printed.read_text(errors="replace").replace("\r", "")
