"""The guard that ends a worker's process: it ends no process that is well, and none that is not the command's own."""

import os
import subprocess
import sys

import pytest

from tests.cli.running import REPOSITORY

IN_ANOTHER_PROGRAM = """
import time
from event_backbone.cli.process_end import end_soon

end_soon()
time.sleep(2.5)
print("still there")
"""
WITH_A_SLOW_FAREWELL = """
import atexit, time, typer
from event_backbone.cli import run
from event_backbone.cli.process_end import end_soon

cli = typer.Typer()

@cli.command()
def work() -> None:
    atexit.register(lambda: (time.sleep(2.5), print("still there")))
    end_soon()

run(cli)
"""


@pytest.mark.parametrize(
    "program", [IN_ANOTHER_PROGRAM, WITH_A_SLOW_FAREWELL], ids=["another program", "slow farewell"]
)
def test_a_process_that_is_well_is_let_alone(program: str) -> None:
    """Such as a test that calls the command within itself, or a worker whose telemetry takes its time to be sent."""
    path = os.pathsep.join((str(REPOSITORY / "template" / "src"), str(REPOSITORY)))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "still there\n", "")
