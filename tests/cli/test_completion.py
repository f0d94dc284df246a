"""Completion in a shell: of commands, options and events, by what bash itself runs, without settings or servers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import REPOSITORY

PROGRAM = f"""#!{sys.executable}
from event_backbone.cli import build_cli, run
from tests.cli.shop import project

run(build_cli(project()))
"""
COMPLETIONS = {
    "shop pro": ["produce"],
    "shop produce o": ["order_placed"],
    "shop tail --ev": ["--event"],
    "shop tail --event ''": ["order_placed", "packing", "closed"],
}
COMPLETE = """
eval "$(_SHOP_COMPLETE=source_bash shop)"
complete() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _shop_completion shop
    echo "${COMPREPLY[@]}"
}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The shop as a program on PATH, and a separate home; no setting is there."""
    program = tmp_path / "bin" / "shop"
    program.parent.mkdir()
    program.write_text(PROGRAM, encoding="utf-8")
    program.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if "EVENT_SOURCE" not in name}
    path = os.pathsep.join((str(REPOSITORY / "template" / "src"), str(REPOSITORY)))
    return own | {
        "HOME": str(tmp_path),
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": path,
    }


def bash(command: str, environment: dict[str, str]) -> str:
    """What a command of bash prints; it must not fail, nor complain."""
    done = subprocess.run(
        ["bash", "--norc", "-c", command],
        env=environment,
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_bash_completes_what_is_typed(environment: dict[str, str]) -> None:
    """Commands, options, and the contract's own events."""
    commands = "\n".join(f"complete {words}" for words in COMPLETIONS)
    offered = [line.split() for line in bash(f"{COMPLETE}{commands}", environment).splitlines()]
    assert offered == list(COMPLETIONS.values())


def test_completion_is_installed_into_the_users_shell(environment: dict[str, str]) -> None:
    """By an option; bash then has it from the next start on."""
    bash("shop --install-completion", environment)
    assert "-F _shop_completion shop" in bash("source ~/.bashrc; complete -p shop", environment)
