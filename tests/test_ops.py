"""The scripts in ops/ and their locks. No test uses the network."""

import gzip
import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from tests.harness import PATIENCE_SECONDS, ROOT

SCRIPTS = (
    *("ops/run", "ops/install", "ops/firewall", "ops/test", "ops/test-host", "ops/test-systems"),
    *("ops/fuzz", "ops/soak", "ops/detect", "ops/bench", "ops/lock", "ops/vendor", "ops/release"),
    *("ops/test-packages", ".ci/run"),
)
LOCKS = (
    *("requirements.txt", "tests/requirements.txt", "tests/bench/requirements.txt"),
    "ops/alerts.txt",
)
TOOLS = ("bash", "cat", "cksum", "cp", "dirname", "flock", "mkdir", "readlink", "rm")
"""The programs that ops/run needs besides Python."""

VENDOR = ROOT / "assets" / "vendor"

REPORT = """
import json, os, sys
report = {"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}
print(json.dumps(report))
sys.exit(3)
"""

PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)( ; .+)? \\$")


def run(
    command: Path, *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script as somebody who has never started it, unless an environment is given."""
    return subprocess.run(
        [command, *arguments],
        cwd=cwd,
        env={**os.environ, "HOME": str(cwd)} if environment is None else environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository with a space in its path and a ready environment."""
    copy = tmp_path / "a checkout"
    shutil.copytree(ROOT / "ops", copy / "ops")
    shutil.copy(ROOT / "requirements.txt", copy)
    (copy / ".venv").mkdir()
    for path in (ROOT / ".venv").iterdir():
        (copy / ".venv" / path.name).symlink_to(path)
    (copy / "dash_app").symlink_to(ROOT / "dash_app")
    return copy


@pytest.fixture
def reporting(checkout: Path) -> Path:
    """The checkout with a program that reports how it was started, and exits with 3."""
    (checkout / "dash_app").unlink()
    (checkout / "dash_app").mkdir()
    (checkout / "dash_app" / "__main__.py").write_text(REPORT)
    return checkout


def only_tools(folder: Path, **scripts: str) -> dict[str, str]:
    """Return an environment whose PATH has only what ops/run needs, and these scripts."""
    folder.mkdir()
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path is not None
        (folder / tool).symlink_to(path)
    for name, text in scripts.items():
        (folder / name.replace("_", ".")).write_text(f"#!{shutil.which('bash')}\n{text}\n")
        (folder / name.replace("_", ".")).chmod(0o755)
    return {"PATH": str(folder)}


def test_starts_from_any_folder_through_a_link(checkout: Path, tmp_path: Path) -> None:
    """The script finds its repository, and prints nothing if the environment is ready."""
    link = tmp_path / "mission-control"
    link.symlink_to(checkout / "ops" / "run")
    done = run(link, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage:")


def test_passes_on_arguments_folder_and_exit_code(reporting: Path, tmp_path: Path) -> None:
    """Relative paths refer to the current folder, but a module in it does not hide a library."""
    (tmp_path / "json.py").write_text("raise SystemExit('their json.py was imported')")
    done = run(reporting / "ops" / "run", "status", "--config", "a b.toml", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 3
    assert report["arguments"] == ["status", "--config", "a b.toml"]
    assert report["folder"] == str(tmp_path)


def test_settings_of_other_programs_do_not_reach_it(reporting: Path, tmp_path: Path) -> None:
    """Dash would apply DASH_*, and without bytecode every start would compile again."""
    theirs = {"DASH_DEBUG": "1", "DASH_URL_BASE_PATHNAME": "/x/", "PYTHONDONTWRITEBYTECODE": "1"}
    done = run(
        reporting / "ops" / "run",
        cwd=tmp_path,
        environment={**os.environ, "HOME": str(tmp_path), **theirs},
    )
    environment = json.loads(done.stdout)["environment"]
    assert not theirs.keys() & environment.keys()
    assert environment["PYTHONPATH"] == str(reporting)


def test_an_environment_of_another_lock_is_not_used(checkout: Path, tmp_path: Path) -> None:
    """A changed lock needs a new environment, which fails here because there is no Python."""
    with (checkout / "requirements.txt").open("a") as lock:
        lock.write("\n")
    done = run(
        checkout / "ops" / "run", "--help", cwd=tmp_path, environment=only_tools(tmp_path / "bin")
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_an_interrupted_installation_is_not_used(checkout: Path, tmp_path: Path) -> None:
    """It lacks made-from."""
    (checkout / ".venv" / "made-from").unlink()
    environment = only_tools(tmp_path / "bin")
    done = run(checkout / "ops" / "run", "--help", cwd=tmp_path, environment=environment)
    assert (done.returncode, done.stdout) == (1, "")


def test_an_environment_that_is_a_link_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    """Creating it again would empty a folder that is not ours."""
    shutil.rmtree(checkout / ".venv")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "made-from").write_text("other locks")
    (checkout / ".venv").symlink_to(tmp_path / "theirs")
    done = run(checkout / "ops" / "run", cwd=tmp_path)
    assert done.returncode == 1
    assert "is a link" in done.stderr
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["made-from"]


def sourced(
    command: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a shell command after sourcing ops/environment.sh."""
    script = f". {shlex.quote(str(ROOT / 'ops' / 'environment.sh'))}; {command}"
    return run(Path("/bin/bash"), "-euc", script, cwd=cwd, environment=environment)


def python(minor: int, missing: str = "none") -> str:
    """Return a script that answers the probe like a Python of that version."""
    return f'echo {minor} {missing} "$0"'


@pytest.mark.parametrize(
    ("scripts", "chosen"),
    [
        ({"python3": python(11)}, "python3"),
        ({"python3": python(15), "python3_11": python(11)}, "python3"),
        ({"python3": python(10), "python3_11": python(11)}, "python3.11"),
        ({"python3": python(13, "ensurepip"), "python3_12": python(12)}, "python3.12"),
        ({"python3": python(12, "sqlite3,ssl"), "python3_14": python(14)}, "python3.14"),
        ({"python3": python(16), "python3_13": python(13)}, "python3.13"),
        ({"python3": "exit 127", "python3_15": python(15)}, "python3.15"),
        ({"python3": python(16)}, "python3"),
        ({"python3_17": python(17), "python3_18": python(18)}, "python3.17"),
    ],
)
def test_the_first_usable_python_is_chosen(
    scripts: dict[str, str], chosen: str, tmp_path: Path
) -> None:
    """The plain name comes first, then versions; an untested version only if there is no other."""
    environment = only_tools(tmp_path / "bin", **scripts)
    done = sourced("find_python", tmp_path, environment)
    assert done.stdout.strip() == str(tmp_path / "bin" / chosen)
    newer = chosen != "python3.13" and any(
        "echo 1" + d in text for d in "678" for text in scripts.values()
    )
    assert ("newer than Python 3.15" in done.stderr) == newer


def test_an_unusable_python_does_not_hide_another_of_the_same_name(tmp_path: Path) -> None:
    """Version managers put theirs first in PATH, often built without SQLite."""
    first = only_tools(tmp_path / "first", python3=python(13, "sqlite3"))
    second = only_tools(tmp_path / "second", python3=python(11))
    done = sourced("find_python", tmp_path, {"PATH": f"{first['PATH']}:{second['PATH']}"})
    assert (done.stdout.strip(), done.stderr) == (f"{second['PATH']}/python3", "")


def test_the_python_of_an_activated_environment_is_not_used(tmp_path: Path) -> None:
    """The environment may be removed at any time; the Python that created it stays."""
    theirs = tmp_path / "theirs"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", theirs], check=True)
    path = f"{theirs / 'bin'}:{os.environ['PATH']}"
    chosen = Path(sourced("find_python", tmp_path, {"PATH": path}).stdout.strip())
    assert chosen.is_absolute()
    assert chosen == chosen.resolve()
    assert theirs not in chosen.parents


@pytest.mark.parametrize(
    ("scripts", "reason"),
    [
        (
            {},
            (
                "There is no python3 in PATH; on Debian and Ubuntu: "
                "sudo apt-get install python3 python3-venv"
            ),
        ),
        ({"python3": python(9)}, "/bin/python3 is Python 3.9, which is too old"),
        (
            {"python3": python(14, "ensurepip")},
            (
                "/bin/python3 has no venv module; on Debian and Ubuntu: "
                "sudo apt-get install python3.14-venv"
            ),
        ),
        (
            {"python3_12": python(12, "sqlite3,ssl")},
            "/bin/python3.12 was built without sqlite3,ssl",
        ),
    ],
)
def test_the_problem_of_each_python_is_reported(
    scripts: dict[str, str], reason: str, checkout: Path, tmp_path: Path
) -> None:
    """One line says which Python is needed, and one per Python why it cannot be used."""
    shutil.rmtree(checkout / ".venv")
    environment = only_tools(tmp_path / "bin", **scripts)
    done = run(checkout / "ops" / "run", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == "Mission Control needs Python 3.11 or newer with its venv module."
    assert second.endswith(reason)


THEIR_PIP = """
[global]
index-url = https://user:word@index.example/simple
extra-index-url =
    https://a.example/simple
    https://b.example/simple
user = true
constraint = /nowhere
quiet = 3
[install]
cert = /theirs.pem
target = /elsewhere
root = /elsewhere
dry-run = true
"""


def test_only_pip_settings_for_a_package_index_apply(tmp_path: Path) -> None:
    """Others change what is installed or where (pypa/pip 8977, pypa/virtualenv 1416)."""
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(THEIR_PIP)
    theirs = {"PIP_TARGET": "/x", "PIP_PREFIX": "/x", "PIP_USER": "1", "PIP_PYTHON": "/x"}
    theirs |= {"PIP_RETRIES": "1", "PIP_CERT": "/other.pem", "PIP_REQUIRE_VIRTUALENV": "1"}
    script = f'{shlex.quote(sys.executable)} -I -c "$isolated_pip" config list'
    done = sourced(script, tmp_path, {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **theirs})
    remaining = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert remaining.pop(":env:.cert") == "'/other.pem'"
    assert remaining.pop(":env:.index-url") == "'https://user:word@index.example/simple'"
    assert remaining.pop(":env:.extra-index-url").count("https://") == 2
    assert remaining.pop(":env:.retries") == "'1'"
    system = {
        "config-file",
        "find-links",
        "timeout",
        "default-timeout",
        "proxy",
        "disable-pip-version-check",
    }
    assert {name.removeprefix(":env:.") for name in remaining} <= system


def test_pip_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("no section")
    script = f'{shlex.quote(sys.executable)} -I -c "$isolated_pip" config list'
    theirs = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PATH": os.environ["PATH"]}
    done = sourced(script, tmp_path, theirs)
    assert f"'{tmp_path}/pip.conf', line: 1" in done.stderr
    assert done.stderr.splitlines()[-1] == "pip cannot read its settings."


def test_downloads_go_to_the_disk_of_the_environment(tmp_path: Path) -> None:
    """In memory, /tmp may be too small for them."""
    environment = only_tools(tmp_path / "bin", python='echo "$TMPDIR"; exit 1')
    environment["PATH"] += f":{os.environ['PATH']}"
    done = sourced(f'install_lock "{tmp_path}/bin/python" requirements.txt', tmp_path, environment)
    assert done.stderr.splitlines()[0] == str(tmp_path)


def test_a_folder_with_a_colon_is_refused(tmp_path: Path) -> None:
    """It would be two folders in PYTHONPATH."""
    done = sourced('prepare "$PWD/a:b/.venv" true requirements.txt', tmp_path)
    assert (done.returncode, done.stderr.count("its path has a colon: move it")) == (1, 1)


def test_git_never_converts_line_endings(tmp_path: Path) -> None:
    """bash cannot run scripts with CRLF, which core.autocrlf would make of them."""
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    (tmp_path / "run").write_bytes(b"#!/usr/bin/env bash\n")
    for command in ("init", "add .", "checkout-index --all --prefix=out/"):
        git = ("git", "-c", "core.autocrlf=true", *command.split())
        subprocess.run(git, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "out" / "run").read_bytes() == b"#!/usr/bin/env bash\n"


FAKE_PYTHON = """
echo "$*" >>"{log}"
case "$*" in
*ensurepip*) echo 12 none "$0" ;;
*"venv --clear"*)
    for folder; do :; done
    rm -rf "$folder"
    mkdir -p "$folder/bin"
    cp "$0" "$folder/bin/python"
    ;;
*{fails}*)
    echo "this fails"
    exit 1
    ;;
esac
"""


def test_an_environment_whose_libraries_cannot_be_loaded_is_not_ready(
    checkout: Path, tmp_path: Path
) -> None:
    """On a disk mounted noexec, for example, where pip succeeds."""
    shutil.rmtree(checkout / ".venv")
    fake = FAKE_PYTHON.format(log=tmp_path / "log", fails='"import click"')
    environment = only_tools(tmp_path / "bin", python3=fake)
    done = run(checkout / "ops" / "run", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "this fails\nThe installation failed for the reason above." in done.stderr
    assert not (checkout / ".venv" / "made-from").exists()


def test_every_library_is_imported_before_an_environment_is_ready() -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (imported,) = re.findall(r'"import (.+)"', (ROOT / "ops" / "environment.sh").read_text())
    names = [re.split(r"[^a-z-]", text)[0].replace("-", "_") for text in requirements]
    assert sorted(imported.split(", ")) == sorted(names)


def test_an_environment_of_another_python_is_not_ready(tmp_path: Path) -> None:
    """The tests run with the first Python in PATH, not with the one of an old environment."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "made-from").write_text("sources\n")
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    for chosen, is_ready in (("", True), (os.path.realpath(sys.executable), True), ("/x", False)):
        done = sourced(f"python={chosen}; is_ready . sources", tmp_path)
        assert (done.returncode == 0) == is_ready


def test_continuous_integration_uses_the_python_of_the_system(
    checkout: Path, tmp_path: Path
) -> None:
    """Other versions, which may be first in PATH, are not what people have."""
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    (checkout / "ops" / "test").write_text('#!/bin/sh\necho "$PATH"\n')
    done = run(checkout / ".ci" / "run", cwd=tmp_path)
    assert done.stdout == "/usr/sbin:/usr/bin:/sbin:/bin\n"


def test_new_files_are_never_writable_by_others(tmp_path: Path) -> None:
    """With a umask of 000, anybody could replace programs. A stricter umask stays."""
    for given, expected in (("000", "0022"), ("077", "0077"), ("002", "0022")):
        script = f". {shlex.quote(str(ROOT / 'ops' / 'environment.sh'))}; umask"
        done = run(Path("/bin/bash"), "-c", f"umask {given}; {script}", cwd=tmp_path)
        assert done.stdout.strip() == expected


def test_a_missing_home_is_looked_up_in_the_user_database(tmp_path: Path) -> None:
    """Cron jobs and containers may not set HOME."""
    home = pwd.getpwuid(os.geteuid()).pw_dir
    for environment in ({}, {"HOME": ""}):
        done = sourced("printenv HOME", tmp_path, {"PATH": os.environ["PATH"], **environment})
        assert done.stdout.strip() == home


@pytest.mark.parametrize(("code", "is_free"), [(0, True), (99, False), (66, True)])
def test_a_file_system_without_locks_does_not_prevent_an_installation(
    code: int, *, is_free: bool, tmp_path: Path
) -> None:
    """On NFS, a file that is open for reading cannot be locked."""
    environment = only_tools(tmp_path / "bin", other_flock="")
    (tmp_path / "bin" / "flock").unlink()
    (tmp_path / "bin" / "flock").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "bin" / "flock").chmod(0o755)
    assert (sourced("try_lock 9", tmp_path, environment).returncode == 0) == is_free


def test_a_failed_installation_prints_its_output(checkout: Path, tmp_path: Path) -> None:
    """The output of a successful one is not shown."""
    shutil.rmtree(checkout / ".venv")
    fails = FAKE_PYTHON.format(log=tmp_path / "log", fails="--version")
    fails = fails.replace(
        '"venv --clear"*)', '"venv --clear"*) echo "No space left on device"; exit 1;'
    )
    environment = only_tools(tmp_path / "bin", python3=fails)
    done = run(checkout / "ops" / "run", cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "\nNo space left on device\nThe installation failed for the reason above." in done.stderr
    assert not (checkout / ".venv" / "made-from").exists()


def test_apprise_is_installed_if_wanted_and_stays_installed(checkout: Path, tmp_path: Path) -> None:
    """It is installed once per lock, and into each new environment. A failure stops nothing."""
    (checkout / ".venv" / "bin").unlink()
    (checkout / ".venv" / "alerts-from").unlink(missing_ok=True)
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir()
    calls = tmp_path / "calls"
    log = "${*##*$'\\n'}"  # the last line of each argument
    python.write_text(f'#!/usr/bin/env bash\necho "{log}" >>"{calls}"\n[ ! -e "{calls}.fails" ]\n')
    python.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path / "home")}

    def starts(*arguments: str) -> list[str]:
        calls.write_text("")
        run(checkout / "ops" / "run", *arguments, cwd=tmp_path, environment=environment)
        lock = f"--requirement {checkout}/ops/alerts.txt"
        return [line.replace(lock, "LOCK").split()[-1] for line in calls.read_text().splitlines()]

    assert starts("status") == ["status"]
    assert starts("alerts", "install") == ["LOCK", "install"]
    assert starts("status") == ["status"]
    with (checkout / "ops" / "alerts.txt").open("a") as lock:
        lock.write("\n")
    calls.with_name("calls.fails").touch()
    assert starts("status") == ["LOCK", "status"]
    calls.with_name("calls.fails").unlink()
    assert starts("status") == ["LOCK", "status"]
    assert starts("status") == ["status"]


@pytest.mark.parametrize("script", [*SCRIPTS, "ops/environment.sh"])
def test_scripts_parse_and_only_commands_are_executable(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    assert os.access(ROOT / script, os.X_OK) == (script in SCRIPTS)


def locked(lock: str) -> list[tuple[str, str]]:
    """Return the name and version of each requirement in a lock."""
    lines = (ROOT / lock).read_text().splitlines()
    return [(found[1], found[2]) for found in map(PINNED.match, lines) if found]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_with_hashes(lock: str) -> None:
    """A lock has nothing else: no index, no address, no path."""
    lines = [
        line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("    #")
    ]
    hashes = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
    for line, following in pairwise([*lines, ""]):
        assert PINNED.match(line) or hashes.match(line), line
        assert bool(hashes.match(following)) == line.endswith("\\"), line


def test_no_library_needs_too_much_memory() -> None:
    """These often come with pandas and Plotly, and need tens of megabytes."""
    assert not {"pyarrow", "plotly-resampler"} & {name for name, _ in locked("requirements.txt")}


def test_a_library_in_both_locks_has_one_version() -> None:
    production, tests = locked("requirements.txt"), locked("tests/requirements.txt")
    shared = {name for name, _ in production} & {name for name, _ in tests}
    assert shared
    assert {pin for pin in tests if pin[0] in shared} <= set(production)


def test_the_basic_plotly_bundle_has_the_version_that_dash_expects() -> None:
    """It is served in place of the full bundle in the Python package."""
    full = files("plotly") / "package_data" / "plotly.min.js"
    versions = [
        re.findall(r"plotly\.js (?:\(.+\) )?v([\d.]+)", path.read_text()[:200])
        for path in (full, VENDOR / "plotly-basic.min.js")
    ]
    assert len(versions[0]) == 1
    assert versions[0] == versions[1]


def test_vendored_files_have_the_versions_that_their_script_names() -> None:
    script = (ROOT / "ops" / "vendor").read_text()
    for package, name in (
        ("bootstrap", "bootstrap.min.css"),
        ("plotly.js-basic-dist-min", "plotly-basic.min.js"),
    ):
        found = re.search(rf"^{package} (\S+) sha512-\S+ (\S*/)?{name}$", script, re.MULTILINE)
        assert found
        assert f"v{found[1]}" in (VENDOR / name).read_text()[:200]


def test_vendored_files_come_with_their_licences() -> None:
    """Both licences must accompany the copies."""
    assert sorted(path.name for path in VENDOR.iterdir() if path.suffix != ".gz") == [
        "bootstrap.LICENSE",
        "bootstrap.min.css",
        "plotly-basic.min.js",
        "plotly.js-basic-dist-min.LICENSE",
    ]


def test_text_files_are_compressed_once_and_again_after_a_change(tmp_path: Path) -> None:
    """A copy has the modification time of its file, which the server checks."""
    folder = tmp_path / "some assets"
    folder.mkdir()
    large, small, image = folder / "page.css", folder / "tiny.js", folder / "icon.svg"
    for path, text in ((large, "a { }\n" * 500), (small, "1"), (image, "<svg/>" * 500)):
        path.write_text(text)
    copy = folder / "page.css.gz"

    def compress() -> tuple[bytes, int]:
        assert sourced(f"compress_files {shlex.quote(str(folder))}", tmp_path).stderr == ""
        assert copy.stat().st_mtime_ns == large.stat().st_mtime_ns
        return gzip.decompress(copy.read_bytes()), copy.stat().st_ino

    first = compress()
    assert first[0] == large.read_bytes()
    assert compress() == first
    large.write_text("b { }\n" * 500)
    os.utime(large, (1, 1))
    assert compress()[0] == large.read_bytes()
    assert {path.name for path in folder.iterdir()} == {
        *("page.css", "page.css.gz", "tiny.js", "icon.svg")
    }
