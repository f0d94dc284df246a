"""``--uvloop`` has asynchronous tests and the workers that they start run on uvloop."""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.support.event_loop import loop_factory
from tests.support.repository import ROOT


async def test_a_test_runs_on_the_loop_that_was_asked_for() -> None:
    """On asyncio's own, unless it was uvloop."""
    wanted = loop_factory() or asyncio.new_event_loop
    loop = wanted()
    loop.close()
    assert type(asyncio.get_running_loop()) is type(loop)


def test_uvloop_can_be_asked_for() -> None:
    """The test above then runs on it, and its environment sets it for the workers of fault tests."""
    there = f"{Path(__file__).relative_to(ROOT)}::{test_a_test_runs_on_the_loop_that_was_asked_for.__name__}"
    asked = (
        "import os, pytest, sys; code = pytest.main(sys.argv[1:]); print(os.environ['EVENT_BACKBONE_TEST_EVENT_LOOP'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{asked}; sys.exit(code)", "--uvloop", "-p", "no:cacheprovider", there],
        cwd=ROOT,
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "uvloop"
