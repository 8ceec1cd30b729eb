"""Out of memory: only in a virtual machine is the limit enforced, and a process killed."""

from tests.host.machine import Machine
from tests.host.virtual import run_in_virtual_machine

EATER = """
import signal
def eat(*_):
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * 10_000_000))
signal.signal(signal.SIGUSR1, eat)
"""
"""Python imports it as `sitecustomize`; on SIGUSR1, it allocates memory until it is killed."""

DROP_IN = """[Service]
Environment="PYTHONPATH={app}:/home/clawd/eater"
"""

SCRIPT = """
ctl() { setpriv --reuid=clawd --regid=clawd --init-groups env XDG_RUNTIME_DIR=/run/user/1000 "$@"; }
show() { ctl systemctl --user show mission-control -P "$1"; }
served() { curl -s -m 20 -o /dev/null -w '%{http_code}' http://127.0.0.1:3001/health; }
await() {
    for _ in {1..400}; do
        [ "$(served)" = 200 ] && [ "$(show MainPID)" != "${1:-0}" ] && return
        sleep 0.5
    done
}
now() { cut -d' ' -f1 /proc/uptime; }
await
echo "served $(now)"
ctl systemd-run --user --quiet --unit gateway sleep infinity
gateway=$(ctl systemctl --user show gateway -P MainPID)
before=$(show MainPID)
group=/sys/fs/cgroup$(show ControlGroup)
echo "memory.max $(cat $group/memory.max)"
echo "memory.swap.max $(cat $group/memory.swap.max)"
echo "pids.max $(cat $group/pids.max)"
echo "scores $(cat /proc/$before/oom_score_adj) $(cat /proc/$gateway/oom_score_adj)"
echo "tunables $(grep -c ' /proc/sys ro' /proc/$before/mountinfo)"
echo "taken $(cat $group/memory.current)"
kill -USR1 $before
await $before
echo "back $(now)"
echo "gateway $(ctl systemctl --user show gateway -P MainPID) was $gateway"
echo "pid $(show MainPID) was $before"
ctl journalctl --user --unit mission-control --output cat | grep -m1 'OOM killer'
"""


def test_the_service_is_killed_first_and_restarted_when_memory_runs_out(
    machine: Machine,
) -> None:
    app = machine.user("echo .local/share/mission-control/app-*")
    drop_in = DROP_IN.format(app=f"/home/clawd/{app}")
    folder = ".config/systemd/user/mission-control.service.d"
    machine.user(f"mkdir -p eater {folder}")
    (machine.disk / "home/clawd/eater/sitecustomize.py").write_text(EATER)
    (machine.disk / "home/clawd" / folder / "eater.conf").write_text(drop_in)
    machine.stop()
    printed = run_in_virtual_machine(machine, SCRIPT)
    machine.boot()
    machine.user(f"rm -r eater {folder}")
    for line in printed.splitlines():
        machine.log(f"virtual: {line}")
    facts = dict(line.split(" ", 1) for line in printed.splitlines() if " " in line)
    assert (facts["memory.max"], facts["memory.swap.max"]) == ("536870912", "0")
    assert (facts["pids.max"], facts["scores"]) == ("128", "500 200")
    assert facts["tunables"] != "0"
    pid, _was, before = facts["pid"].split()
    assert pid not in {"0", before}
    gateway, _was, gateway_before = facts["gateway"].split()
    assert gateway == gateway_before != "0"
    assert "has been killed by the OOM killer" in printed
