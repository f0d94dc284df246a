"""The scripts run every test, also after one has failed, and on the intended Pythons."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT

SCRIPTS = [*sorted((ROOT / "scripts").iterdir()), ROOT / ".ci/run"]
ENVIRONMENT = 'set -euo pipefail\ncd "$(dirname "${BASH_SOURCE[0]}")/.."\n'
PYTHONS = "3.11.2 /old/python\n3.12.9 /usual/python\n3.13.0 /new/python\n"
SEEDS = "EVENT_BACKBONE_TEST_CHAOS_SEEDS"
NOTED = 'echo "${PYTHON:-its own}: $*" >>calls\n'


class Clone:
    """The scripts in a separate folder. What they call records its arguments, and fails when the test wants it to."""

    def __init__(self, root: Path) -> None:
        (root / ".ci").mkdir()
        shutil.copytree(ROOT / "scripts", root / "scripts")
        shutil.copy(ROOT / ".ci/run", root / ".ci")
        self.root = root
        self.replace("scripts/_environment", ENVIRONMENT)
        self.replace("scripts/_pythons", f"printf '{PYTHONS}'\n")
        self.replace("pytest", NOTED)

    def replace(self, name: str, text: str) -> None:
        """Replace a script by another one."""
        (self.root / name).write_text(f"#!/usr/bin/env bash\n{text}", encoding="utf-8")
        (self.root / name).chmod(0o755)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one, as CI does it."""
        path = f"{self.root}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [self.root / command[0], *command[1:]],
            cwd=self.root.parent,
            env={name: text for name, text in os.environ.items() if name not in {"PYTHON", SEEDS}}
            | {"PATH": path, "CI": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            start_new_session=True,
        )

    @property
    def calls(self) -> list[str]:
        """What was called, in order."""
        return (self.root / "calls").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """The scripts, with replacements for what they call."""
    (tmp_path / "clone").mkdir()
    return Clone(tmp_path / "clone")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda each: each.name)
def test_bash_can_read_it(script: Path) -> None:
    """A script that is rarely run is at least parsed here."""
    done = subprocess.run(["bash", "-n", script], check=False, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")


def test_every_test_is_in_one_of_two_runs(clone: Clone) -> None:
    """Some folders on all cores; all others, new ones included, two files at a time."""
    assert clone.run("scripts/test", "--all").returncode == 0
    together, apart = clone.calls
    named = re.findall(r"tests/[\w/.]+", together)
    assert re.fullmatch(r"its own: --numprocesses=\S+ --maxprocesses=\d+ --dist=\w+( tests/[\w/.]+)+ --all", together)
    two = "--numprocesses=auto --maxprocesses=2 --dist=loadfile"
    assert apart == f"its own: {two} {' '.join(f'--ignore={each}' for each in named)} --all"
    assert all((ROOT / each).exists() for each in named)


def test_arguments_are_those_of_pytest(clone: Clone) -> None:
    """One run, with what was asked for."""
    assert clone.run("scripts/test", "--uvloop", "-k", "one or two").returncode == 0
    assert clone.calls == ["its own: --uvloop -k one or two"]


@pytest.mark.parametrize("failing", ["--dist=worksteal", "--ignore"])
def test_one_failed_run_fails_the_whole_and_stops_nothing(clone: Clone, failing: str) -> None:
    """Whichever of the two it is."""
    clone.replace("pytest", f'{NOTED}[[ "$*" != *{failing}* ]]\n')
    assert clone.run("scripts/test").returncode == 1
    assert len(clone.calls) == 2


def test_each_python_has_its_run_and_its_verdict(clone: Clone) -> None:
    """The others run after one has failed; a missing Python is reported, and is not a failure."""
    done = clone.run("scripts/test", "--pythons", "-k", "claim")
    assert done.returncode == 0
    assert clone.calls == [f"/{name}/python: -k claim" for name in ("old", "usual", "new")]

    clone.replace("pytest", '[[ "$PYTHON" != /usual/* ]]\n')
    done = clone.run("scripts/test", "-k", "claim", "--pythons")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-4:] == [
        "Python 3.11.2: passed",
        "Python 3.12.9: failed",
        "Python 3.13.0: passed",
        "Python 3.14: not installed",
    ]


def test_ci_runs_all_on_the_oldest_python_and_faults_on_the_newest(clone: Clone) -> None:
    """Some on uvloop as well; a step that fails is named at the end, and the others still run."""
    clone.replace("scripts/check", f"{NOTED}exit 1\n")
    clone.replace("scripts/test", NOTED.replace("$*", f"seed ${{{SEEDS}:-1}} $*"))
    done = clone.run(".ci/run")
    assert done.returncode == 1
    assert done.stderr == "Failed: scripts/check on Python 3.11.2\n"
    *whole, faults, on_uvloop = clone.calls
    assert whole == ["/old/python: ", "/old/python: seed 1 "]
    assert faults.startswith("/new/python: seed 2 --numprocesses=2 --dist=loadfile tests/faults tests/promises ")
    assert on_uvloop.startswith("/new/python: seed 3 --numprocesses=2 --dist=loadfile --uvloop tests/faults/")
    assert all((ROOT / each).exists() for each in re.findall(r"tests/\S+", f"{faults} {on_uvloop}"))


def test_ctrl_c_ends_ci_at_once(clone: Clone) -> None:
    """Though the step that it interrupts, as the scripts do, ends like one that has failed."""
    clone.replace("scripts/check", f"{NOTED}trap 'exit 130' INT\nkill -INT 0\n")
    clone.replace("scripts/test", NOTED)
    assert clone.run(".ci/run").returncode == 130
    assert clone.calls == ["/old/python: "]


def test_ci_with_one_python_does_nothing_twice(clone: Clone) -> None:
    """The fault tests have already run on it, but not on uvloop; without any Python, CI fails."""
    clone.replace("scripts/_pythons", "echo 3.12.9 /usual/python\n")
    clone.replace("scripts/check", "exit 0\n")
    clone.replace("scripts/test", NOTED)
    assert clone.run(".ci/run").returncode == 0
    whole, faults = clone.calls
    assert whole == "/usual/python: "
    assert "--uvloop tests/faults" in faults

    clone.replace("scripts/_pythons", "exit 0\n")
    done = clone.run(".ci/run")
    assert done.returncode == 1
    assert done.stderr.startswith("A Python from 3.11 to 3.14 is needed")


def _pythons(**variables: str) -> list[tuple[str, str]]:
    """Return what ``scripts/_pythons`` lists: versions and paths."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHON"} | variables
    done = subprocess.run(
        [ROOT / "scripts/_pythons"], env=environment, check=True, capture_output=True, encoding="utf-8"
    )
    return [(version, path) for version, _, path in (line.partition(" ") for line in done.stdout.splitlines())]


def test_pythons_that_do_not_count_are_left_out(tmp_path: Path) -> None:
    """The one on PATH is found; one that does not answer or is too old is not; oldest first, each version once."""
    (tmp_path / "python3.14").write_text("#!/bin/sh\necho no version of that name >&2\nexit 127\n")
    (tmp_path / "python3.14").chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    found = _pythons(PATH=path, PYENV_ROOT=str(tmp_path))
    versions = [tuple(map(int, version.split("."))) for version, _ in found]
    assert platform.python_version() in dict(found)
    assert versions == sorted(set(versions))
    assert all((3, 11) <= each < (3, 15) for each in versions)
    assert all(Path(path).exists() for _, path in found)


def test_pyenvs_versions_are_found(tmp_path: Path) -> None:
    """Also those that are not on PATH."""
    (tmp_path / "versions/any/bin").mkdir(parents=True)
    (tmp_path / "versions/any/bin/python").symlink_to(sys.executable)
    assert platform.python_version() in dict(_pythons(PATH="/usr/bin:/bin", PYENV_ROOT=str(tmp_path)))


def test_a_named_python_is_the_only_one() -> None:
    """By its path, or by its name on PATH."""
    found = _pythons(PYTHON=sys.executable)
    assert [version for version, _ in found] == [platform.python_version()]
    assert (
        _pythons(PYTHON=Path(sys.executable).name, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}") == found
    )
    assert _pythons(PYTHON="no-such-python") == []


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (["produce"], ["its own: -m benchmarks produce"]),
        (
            ["produce", "--pythons", "3.11 3.13"],
            ["/old/python: -m benchmarks produce", "/new/python: -m benchmarks produce"],
        ),
        (
            ["--docs"],
            [
                "/old/python: -m benchmarks --save",
                "/new/python: -m benchmarks --save",
                "its own: -m benchmarks.page",
            ],
        ),
    ],
)
def test_benchmarks_run_on_the_pythons_that_are_named(clone: Clone, arguments: list[str], calls: list[str]) -> None:
    """For the docs on the oldest and a new one, and then the page is written."""
    clone.replace("python", NOTED)
    assert clone.run("scripts/benchmark", *arguments).returncode == 0
    assert clone.calls == calls


def test_a_benchmark_on_a_python_that_is_missing_is_refused(clone: Clone) -> None:
    """With one sentence that names it, or asks for it."""
    done = clone.run("scripts/benchmark", "--pythons", "3.14", "produce")
    assert (done.returncode, done.stderr) == (1, "Python 3.14 is needed, with pip and venv.\n")
    done = clone.run("scripts/benchmark", "--pythons")
    assert (done.returncode, done.stderr) == (2, "Name the Pythons after --pythons.\n")
