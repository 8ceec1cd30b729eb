"""A release: what ops/release refuses and makes, and that tarball and wheel run. No network."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dash_app import VERSION
from tests.harness import PATIENCE_SECONDS, ROOT
from tests.pack_databases import make_pack_database

MAJOR, MINOR, PATCH = map(int, VERSION.split("."))
NEXT = f"{MAJOR}.{MINOR + 1}.0"
TARBALL = f"sqlite_mission_control-{NEXT}.tar.gz"
WHEEL = f"sqlite_mission_control-{NEXT}-py3-none-any.whl"
TOP_LEVEL = {
    *("dash_app", "assets", "ops", "tests", "requirements.txt", "README.md"),
    *("pyproject.toml", "LICENSE", "CHANGELOG.md"),
}
CHANGELOG = "# Changelog\n\n## Unreleased\n{}\n## " + VERSION + " – 2026-01-02\n\n- An old entry.\n"
IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "Ann", "EMAIL": "ann@example", "DATE": "2026-03-04T23:30Z"}.items()
}


def run(
    *command: str | Path,
    cwd: Path,
    check: bool = True,
    more: Mapping[str, str] | None = None,
) -> str:
    """Run a command with the Python of these tests first in PATH; return its whole output."""
    path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": path, "HOME": str(cwd)} | dict(more or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=10 * PATIENCE_SECONDS,
        check=False,
    )
    assert not (check and done.returncode), done.stdout
    return done.stdout


def git(clone: Path, *arguments: str | Path, **more: str) -> str:
    return run("git", *arguments, cwd=clone, more=IDENTITY | more)


def commit(clone: Path, changelog: str) -> None:
    (clone / "CHANGELOG.md").write_text(changelog)
    git(clone, "add", "CHANGELOG.md")
    git(clone, "commit", "--message", "A change")


def add_environments(folder: Path) -> None:
    """Give a folder the environments of this one, as folders of links that count as ready."""
    for name, lock in ((".venv", "requirements.txt"), (".venv-test", "tests/requirements.txt")):
        (folder / name).mkdir()
        for path in (ROOT / name).iterdir():
            (folder / name / path.name).symlink_to(path)
        (folder / name / "made-from").unlink()
        sources = f"echo $HOSTTYPE; cksum ops/environment.sh requirements.txt {lock}"
        (folder / name / "made-from").write_text(run("bash", "-c", sources, cwd=folder))


def release(clone: Path, version: str = NEXT) -> str:
    """Run ops/release with settings of a user that must have no effect."""
    theirs = {"TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    return run("ops/release", version, cwd=clone, check=False, more=IDENTITY | theirs)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the project's files without an unreleased change."""
    clone = tmp_path_factory.mktemp("release") / "a clone"
    clone.mkdir()
    git(clone, "init", "--quiet")
    git(clone, "add", "--all", GIT_DIR=str(clone / ".git"), GIT_WORK_TREE=str(ROOT))
    git(clone, "commit", "--quiet", "--message", "All files")
    git(clone, "reset", "--quiet", "--hard")
    commit(clone, CHANGELOG.format(""))
    add_environments(clone)
    return clone


@pytest.fixture(scope="module")
def dist(clone: Path) -> Path:
    """The folder of a release."""
    commit(clone, CHANGELOG.format("\n### Added\n\n- A new entry.\n"))
    output = release(clone)
    assert f"Made dist/{NEXT} and the tag v{NEXT} of " in output
    return clone / "dist" / NEXT


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in the tarball."""
    folder = tmp_path_factory.mktemp("unpacked")
    run("tar", "-xf", dist / TARBALL, cwd=folder)
    return folder / TARBALL.removesuffix(".tar.gz")


def test_the_top_level_is_complete(clone: Path) -> None:
    names = git(clone, "ls-tree", "--name-only", "HEAD").splitlines()
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_a_release_is_refused_with_the_reason(clone: Path) -> None:
    head = git(clone, "rev-parse", "HEAD")
    following = f"Use {MAJOR}.{MINOR}.{PATCH + 1}, {MAJOR}.{MINOR + 1}.0 or {MAJOR + 1}.0.0.\n"
    assert release(clone, "77.0.1") == f"77.0.1 does not follow {VERSION}. {following}"
    assert release(clone, f"v{NEXT}").startswith(f"v{NEXT} does not follow")
    assert release(clone) == "The section Unreleased of CHANGELOG.md has no entry.\n"
    (clone / "notes").touch()
    assert release(clone) == "These changes are not committed:\n?? notes\n"
    (clone / "notes").unlink()
    git(clone, "tag", f"v{NEXT}")
    assert release(clone) == f"The tag v{NEXT} exists.\n"
    git(clone, "tag", "--delete", f"v{NEXT}")
    assert release(clone, "").startswith("Usage: ./ops/release VERSION\n")
    assert git(clone, "rev-parse", "HEAD") == head
    assert not (clone / "dist").exists()


def test_a_release_has_files_checksums_notes_and_a_tag(clone: Path, dist: Path) -> None:
    assert {path.name for path in dist.iterdir()} == {TARBALL, WHEEL, "SHA256SUMS", "NOTES.md"}
    assert run("sha256sum", "--check", "SHA256SUMS", cwd=dist).count(": OK") == 2
    assert (dist / "NOTES.md").read_text() == "### Added\n\n- A new entry.\n\n"
    changed = git(clone, "show", "--format=%s", "--name-only", f"v{NEXT}^{{commit}}").split()
    files = ["CHANGELOG.md", "dash_app/__init__.py", "dash_app/api/openapi.json"]
    assert changed == ["Release", NEXT, *files]
    changelog = (clone / "CHANGELOG.md").read_text()
    assert f"## Unreleased\n\n## {NEXT} – 2026-03-04\n\n### Added\n" in changelog
    assert git(clone, "status", "--short") == ""


def test_the_tarball_makes_the_same_files_again(unpacked: Path, dist: Path) -> None:
    """In another folder, later, with other modes and times."""
    os.utime(unpacked / "README.md")
    (unpacked / "README.md").chmod(0o600)
    epoch = run("date", "-u", "-d", "2026-03-04", "+%s", cwd=unpacked).strip()
    command = (sys.executable, "-m", "hatchling", "build")
    run(*command, cwd=unpacked, more={"SOURCE_DATE_EPOCH": epoch})
    for name in (TARBALL, WHEEL):
        assert (unpacked / "dist" / name).read_bytes() == (dist / name).read_bytes()


def test_an_unpacked_tarball_runs_without_git(unpacked: Path) -> None:
    add_environments(unpacked)
    assert run("ops/run", "--version", cwd=unpacked) == f"Mission Control, version {NEXT}\n"
    assert [*(unpacked / "ops" / "packs").glob("*.toml")] != []
    assert run("ops/run", "install", "--help", cwd=unpacked).startswith("Usage: ./ops/install")


@pytest.fixture(scope="module")
def bin_folder(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and the libraries of this one."""
    folder = tmp_path_factory.mktemp("an environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    (libraries,) = folder.glob("lib/python3.*/site-packages")
    (shared,) = (ROOT / ".venv").glob("lib/python3.*/site-packages")
    (libraries / "shared.pth").write_text(str(shared))
    pip = (shared.parents[2] / "bin" / "python", "-m", "pip", "--python", folder / "bin" / "python")
    run(
        *pip,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
        dist / WHEEL,
        cwd=folder,
    )
    return folder / "bin"


def test_the_wheel_has_the_same_commands_and_packs(bin_folder: Path, tmp_path: Path) -> None:
    """They name themselves as they are found: by a name in PATH, and otherwise by a path."""
    command, found = bin_folder / "sqlite-mission-control", f"{bin_folder}:{os.environ['PATH']}"
    assert run(command, "--version", cwd=bin_folder) == f"Mission Control, version {NEXT}\n"
    usage = run(command, "install", "--help", cwd=bin_folder)
    assert usage.startswith(f"Usage: '{command}' install [--with-root]")
    output = run(command, "history", cwd=bin_folder, check=False, more={"PATH": found})
    assert output.endswith("Start it with sqlite-mission-control\n")
    sessions = make_pack_database(tmp_path / "site.db", "django-sessions")
    output = run(command, "discover", sessions, cwd=bin_folder)
    assert "# `suggest` proposes the measures of django-sessions.\n" in output
