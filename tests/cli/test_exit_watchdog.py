"""The watchdog that ends a hanging worker: it leaves alone processes that exit normally, and those it does not own."""

import os
import subprocess
import sys

from tests.cli.running import REPOSITORY

IN_ANOTHER_PROGRAM = """
import time
from event_backbone.cli.exit_watchdog import start_exit_watchdog

start_exit_watchdog()
time.sleep(2.5)
print("still there")
"""
WITH_A_SLOW_EXIT = """
import atexit, time, typer
from event_backbone.cli import run
from event_backbone.cli.exit_watchdog import start_exit_watchdog

cli = typer.Typer()

@cli.command()
def work() -> None:
    atexit.register(lambda: (time.sleep(2.5), print("still there")))
    start_exit_watchdog()

run(cli)
"""


def test_a_process_that_exits_normally_is_left_alone() -> None:
    """Such as a test that runs the command in its own process, or a worker whose telemetry takes long to send."""
    path = os.pathsep.join((str(REPOSITORY / "template" / "src"), str(REPOSITORY)))
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        for program in (IN_ANOTHER_PROGRAM, WITH_A_SLOW_EXIT)
    ]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert printed == ["still there\n"] * 2
