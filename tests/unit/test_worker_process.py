"""What the supervisor of worker processes does when they end, with programs in their place."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from event_backbone.backoff import Backoff
from event_backbone.cli import worker_process
from event_backbone.cli.supervisor import named_instance, supervise
from event_backbone.cli.worker_process import WorkerProcess
from tests.support.eventually import eventually

NO_HEALTH = ("127.0.0.1", None)

PROGRAM = """
import os, socket, sys, time
number, descriptor = sys.argv[-1].split(":")
say = socket.socket(fileno=int(descriptor)).sendall
starts = len(open(sys.argv[1], "a+").write(".") and open(sys.argv[1]).read())
{}
"""
STARTED, ALIVE = b'{"started": 25.0}\n', b'{"alive": null}\n'


def program(body: str, folder: Path) -> list[str]:
    """Return a command that does this as a worker process; ``starts`` counts how often it has been started."""
    return [sys.executable, "-c", PROGRAM.format(body), str(folder / "starts")]


async def test_a_process_that_ends_again_and_again_is_restarted_ever_later_and_is_then_not_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line each time. Exit code 0 is no finish, and having run well ends the count; a silent one is not alive."""
    monkeypatch.setattr(worker_process, "_BACKOFF", Backoff(first=timedelta(milliseconds=10), jitter=0))
    monkeypatch.setattr(worker_process, "_RAN_WELL_SECONDS", 0.2)
    body = f"""
say({STARTED!r})
if starts <= 6: sys.exit(starts % 2)
time.sleep(0.3)
say({ALIVE!r})
time.sleep(60)"""
    stopping = asyncio.Event()
    process = WorkerProcess(3, program(body, tmp_path), os.environ, stopping)
    run = asyncio.create_task(process.run(lambda: False))
    await eventually(lambda: process.why_not_alive() == "Worker 3 ends again and again; the log says how.")
    await eventually(lambda: process.started.is_set() and process.why_not_alive() is None)
    monkeypatch.setattr(worker_process, "_SILENT_SECONDS", 0.0)
    assert process.why_not_alive() == "Worker 3 has shown no sign of life for 0 seconds."
    process.kill()
    await eventually(lambda: len(caplog.messages) == 7)
    stopping.set()
    assert await run == 0
    delays = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32]
    codes = [1, 0, 1, 0, 1, 0]
    assert caplog.messages == [
        *(
            f"Worker 3 ended with exit code {code}; it starts again in {delay:.1f} s."
            for code, delay in zip(codes, delays, strict=True)
        ),
        "Worker 3 was ended by SIGKILL; it starts again in 0.0 s.",
    ]


async def test_when_no_process_can_start_any_more_all_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They had run, and now each ends before it has started: the exit code is theirs, whatever they left behind."""
    monkeypatch.setattr(worker_process, "_BACKOFF", Backoff(first=timedelta(milliseconds=10)))
    body = f"""
if starts > 2:
    if os.fork(): sys.exit(7)
    time.sleep(10)
    os._exit(0)
say({STARTED!r})
time.sleep(0.5)"""
    async with asyncio.timeout(8):
        assert await supervise(program(body, tmp_path), 2, NO_HEALTH) == 7
    assert len((tmp_path / "starts").read_text()) >= 4


async def test_a_lost_answer_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for it gets none in time, and the next one is answered."""
    monkeypatch.setattr(worker_process, "_ANSWER_WITHIN", timedelta(milliseconds=200))
    body = f"""
say({STARTED!r})
questions = socket.socket(fileno=os.dup(int(descriptor))).makefile()
questions.readline()
for line in questions: say(b'{{"/lag?": [200, 7]}}\\n')"""
    stopping = asyncio.Event()
    process = WorkerProcess(1, program(body, tmp_path), os.environ, stopping)
    run = asyncio.create_task(process.run(lambda: False))
    await process.started.wait()
    assert await process.ask("/lag?") is None

    async def answers() -> bool:
        return await process.ask("/lag?") == (200, 7)

    await eventually(answers)
    stopping.set()
    assert await run == 0


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("", "service.instance.id=random-2"),
        ("team=ships,", "team=ships,service.instance.id=random-2"),
        (" service.instance.id = pod-7 ,team=ships", "team=ships,service.instance.id=pod-7-2"),
    ],
)
def test_each_process_is_another_instance_of_the_service(given: str, named: str) -> None:
    """Its name has the process's number; the other attributes stay."""
    assert named_instance({"OTEL_RESOURCE_ATTRIBUTES": given}, "random", 2) == {"OTEL_RESOURCE_ATTRIBUTES": named}
