"""`worker --processes`: several processes that start, stop, are restarted and are judged as one."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from tests.cli.pool import BEGUN, BLOCK, DONE, GO_ON, WAIT
from tests.cli.running import REPOSITORY
from tests.support.collector import Collector
from tests.support.eventually import eventually
from tests.support.parcels import URI, pack


class Pool:
    """The supervisor's process; ``lines`` is what it and its worker processes have logged."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.all_ended = asyncio.create_task(self._read())

    async def until(self, words: str, times: int = 1) -> str:
        """Wait for lines with these words, and return the last one."""
        await eventually(lambda: len(self.with_words(words)) >= times or self.all_ended.done())
        assert len(self.with_words(words)) >= times, self.lines
        return self.with_words(words)[-1]

    def with_words(self, words: str) -> list[str]:
        """Return the lines with these words."""
        return [each for each in self.lines if words in each]

    async def health(self, what: str) -> tuple[int, str | None]:
        """Ask for the health; return the status and the sentence."""
        status, body = await self.get(f"/health/{what}")
        return status, body.get("detail")

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Ask the one port; return the status and the body."""
        port = re.search(r":(\d+)/health/ready", await self.until("Health is served"))
        assert port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port[1]))
        writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), json.loads(body)

    async def until_ready(self) -> None:
        """Wait until all processes are ready."""

        async def ready() -> bool:
            return await self.health("ready") == (200, None)

        await eventually(ready, within_seconds=30)

    async def ended(self) -> int:
        """Wait for the end of all processes, and return the exit code."""
        async with asyncio.timeout(25):
            await asyncio.shield(self.all_ended)
            return await self.process.wait()

    async def _read(self) -> None:
        # All of them have this end of the pipe: it ends with the last one.
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())


@asynccontextmanager
async def pool(url: str, *arguments: str, **variables: str) -> AsyncGenerator[Pool]:
    """Run the worker with two processes for the time of the block."""
    path = os.pathsep.join([str(REPOSITORY / "template" / "src"), str(REPOSITORY)])
    settings = {"REDIS_EVENT_SOURCE_ENDPOINT": url, "EVENT_SOURCE_ENVIRONMENT": "test", "PYTHONPATH": path}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cli.pool", "worker", *arguments),
        cwd=REPOSITORY,
        env={**os.environ, "WORKER_PROCESSES": "2", **settings, **variables},
        stdout=DEVNULL,
        stderr=PIPE,
    )
    running = Pool(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await running.all_ended


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client of the same server, for the lists that handlers write and wait for."""
    async with Redis.from_url(redis_url, decode_responses=True) as opened:
        yield opened


async def waiting(client: Redis) -> list[int]:
    """Wait until both processes wait in a handler, and return their ids."""
    found: list[int] = []

    async def two() -> bool:
        found[:] = dict.fromkeys(int(each.split()[0]) for each in await client.lrange(BEGUN, 0, -1))
        return len(found) == 2

    await eventually(two)
    return found


async def done(client: Redis) -> list[int]:
    """Return the numbers whose handlers have ended, in order."""
    return sorted(int(each.split()[1]) for each in await client.lrange(DONE, 0, -1))


async def test_processes_share_events_and_one_that_is_killed_is_started_again(
    backbone: Backbone, client: Redis, redis_url: str
) -> None:
    """Nothing is lost. Until the new one has started not all are ready, but all are alive."""
    async with pool(redis_url) as running:
        await running.until_ready()
        for number in (1, 2):
            assert running.with_words(f"Handling events of parcels as group main-consumer. [worker {number}]")
        numbers = [*[WAIT] * 4, *range(10, 30)]
        await pack(backbone, *numbers)
        os.kill((await waiting(client))[0], signal.SIGKILL)
        line = await running.until("was ended by SIGKILL; it starts again in")
        name = " ".join(line.partition("worker_process: ")[2].split()[:2])
        assert await running.health("ready") == (503, f"{name} has ended, and starts again.")
        assert await running.health("live") == (200, None)
        status, lag = await running.get("/lag?group=main-consumer")
        assert (status, lag["backlog"]) == (200, 24)
        assert (await running.get("/lag?group=none"))[0] == 404
        await client.rpush(GO_ON, *["now"] * 5)

        async def all_done() -> bool:
            return await done(client) == numbers

        await eventually(all_done)
        await running.until_ready()
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
    (state,) = await backbone.groups(URI)
    assert (state.consumers, state.pending, state.unread) == (0, 0, 0)


@pytest.mark.parametrize(("number", "to"), [(signal.SIGTERM, "everyone"), (signal.SIGINT, "supervisor")])
async def test_the_first_signal_lets_all_processes_finish(
    backbone: Backbone, client: Redis, redis_url: str, number: signal.Signals, to: str
) -> None:
    """It counts once, also when a service manager sends it to every process."""
    async with pool(redis_url) as running:
        await running.until("Handling events", times=2)
        await pack(backbone, *[WAIT] * 4)
        pids = await waiting(client)
        for pid in [running.process.pid, *(pids if to == "everyone" else ())]:
            os.kill(pid, number)
        await running.until("Stopping, as the supervisor stops", times=2)
        await client.rpush(GO_ON, *["now"] * 4)
        assert await running.ended() == 0
    assert running.with_words("Ending at once") == []
    assert await done(client) == [WAIT, WAIT]
    (state,) = await backbone.groups(URI)
    assert (state.consumers, state.pending + (state.unread or 0), state.parked) == (0, 2, 2)


async def test_a_second_signal_ends_all_processes(backbone: Backbone, client: Redis, redis_url: str) -> None:
    """At once, by that signal."""
    async with pool(redis_url) as running:
        await running.until("Handling events", times=2)
        await pack(backbone, *[WAIT] * 4)
        await waiting(client)
        running.process.send_signal(signal.SIGTERM)
        await running.until("Stopping, as the supervisor stops", times=2)
        begun = monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == -signal.SIGTERM
        assert monotonic() - begun < 5
    assert await done(client) == []


async def test_processes_stop_when_the_supervisor_is_killed(backbone: Backbone, client: Redis, redis_url: str) -> None:
    """They finish what runs; one whose event loop is blocked ends when the time for a stop is over."""
    async with pool(redis_url, POOL_DRAIN="1") as running:
        await running.until("Handling events", times=2)
        await pack(backbone, WAIT, BLOCK, BLOCK)
        await waiting(client)
        running.process.kill()
        await running.until("Stopping, as the supervisor stops or has ended.")
        await client.rpush(GO_ON, "now")
        assert await running.ended() == -signal.SIGKILL
    assert running.with_words("The worker has not stopped in time")
    assert await done(client) == [WAIT]


async def test_a_process_that_answers_nothing_is_not_ready_and_is_killed_in_the_end(
    backbone: Backbone, client: Redis, redis_url: str
) -> None:
    """Frozen, or with a blocked event loop; the exit code is what a shell makes of it."""
    async with pool(redis_url, POOL_DRAIN="0") as running:
        await running.until_ready()
        await pack(backbone, *[WAIT] * 4)
        os.kill((await waiting(client))[1], signal.SIGSTOP)
        status, sentence = await running.health("ready")
        assert (await running.get("/lag"))[0] == 200
        assert (status, re.sub(r"\d", "N", str(sentence))) == (503, "Worker N did not answer within N seconds.")
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 128 + signal.SIGKILL
    assert running.with_words("has not stopped within 5 s, and is killed.")


async def test_a_job_of_several_processes_ends_when_nothing_is_left(
    backbone: Backbone, client: Redis, redis_url: str
) -> None:
    """None is started again. What each sends by OTLP has another instance of the service, which names the process."""
    await pack(backbone, *range(10, 30))
    with Collector() as collector:
        telemetry = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}",
            "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod-7,team=ships",
        }
        async with pool(redis_url, "--until-empty", **telemetry) as running:
            assert await running.ended() == 0
    assert await done(client) == [*range(10, 30)]
    assert running.with_words("starts again") == []
    sent = {(each["service.instance.id"], each["team"]) for each in collector.resources()}
    assert sent == {("pod-7-1", "ships"), ("pod-7-2", "ships")}


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "sentence"),
    [
        ((), {"REDIS_EVENT_SOURCE_ENDPOINT": ""}, 1, "REDIS_EVENT_SOURCE_ENDPOINT"),
        (("--health-port", "{taken}"), {}, 1, "Choose another health port"),
        (("--processes", "0"), {}, 2, "Invalid value for '--processes'"),
    ],
    ids=["settings", "port", "usage"],
)
async def test_what_keeps_processes_from_starting_is_one_sentence(
    redis_url: str, arguments: tuple[str, ...], variables: dict[str, str], code: int, sentence: str
) -> None:
    """Said once, however many processes there would be, and the exit code of one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [each.format(taken=taken.getsockname()[1]) for each in arguments]
        async with pool(redis_url, *given, **variables) as running:
            assert await running.ended() == code
    assert len(running.with_words(sentence)) == 1
    assert not running.with_words("starts again") + running.with_words("Traceback")
