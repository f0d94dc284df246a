"""Runs the shop's command line as a user does: in its own process, with its own folder for temporary files."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
MARKER = "SHOP_TEST_RUN"


def start_shop(
    *arguments: str,
    temporary: Path,
    environment: Mapping[str, str],
    text: str | None = None,
    terminal: int = subprocess.DEVNULL,
    screen: int = subprocess.PIPE,
) -> "subprocess.Popen[str]":
    """Start the command; all its processes inherit a marker by which ``left_behind`` finds them.

    Its standard input is ``text``, or the ``terminal`` with this file descriptor; its output goes to a pipe, or to the
    ``screen`` with that one.
    """
    own = {name: value for name, value in os.environ.items() if "EVENT_SOURCE" not in name}
    own["PYTHONPATH"] = os.pathsep.join((str(REPOSITORY / "template" / "src"), str(REPOSITORY)))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.shop", *arguments],
        stdin=terminal if text is None else subprocess.PIPE,
        stdout=screen,
        stderr=subprocess.PIPE,
        text=True,
        cwd=temporary,
        env=own | {"TMPDIR": str(temporary), MARKER: str(temporary)} | dict(environment),
        start_new_session=True,
    )
    if text is not None and process.stdin is not None:
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
    return process


def shop(
    *arguments: str, temporary: Path, environment: Mapping[str, str], text: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    process = start_shop(*arguments, temporary=temporary, environment=environment, text=text)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def left_behind(temporary: Path) -> list[str]:
    """Return the processes and temporary files that such a command left. Processes are found on Linux only."""
    left = [str(each) for each in temporary.iterdir()]
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARKER}={temporary}".encode() in each.read_bytes().split(b"\0"):
                left.append((each.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:  # ended meanwhile, or not ours
            continue
    return left


class Answered(NamedTuple):
    """How a command ended that asked on a terminal."""

    code: int
    output: str
    errors: str


def answer_on_terminal(*arguments: str, typed: str, temporary: Path, redis_url: str) -> Answered:
    """Run the command on a terminal, and type this; nothing typed is one Ctrl-C, once the question is there."""
    keyboard, terminal = os.openpty()
    environment = {"REDIS_EVENT_SOURCE_ENDPOINT": redis_url, "EVENT_SOURCE_ENVIRONMENT": "test"}
    process = start_shop(*arguments, temporary=temporary, environment=environment, terminal=terminal)
    os.write(keyboard, typed.encode())
    if not typed:
        assert process.stderr is not None
        asked = ""
        while not asked.endswith("[y/N]:"):
            asked += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    os.close(keyboard)
    os.close(terminal)
    return Answered(process.returncode, output, errors)
