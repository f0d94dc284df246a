"""Runs the demo: servers, two processes, every event, and what became of each."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping
from datetime import timedelta

from event_backbone.cli.demo.loss import lose_and_restore
from event_backbone.cli.demo.processes import DemoProcess, JournalEntry, child_environment
from event_backbone.cli.demo.read_back import PayloadLocation, RedisReadBack, S3ReadBack
from event_backbone.cli.demo.report import EventResult, print_next_steps, print_report
from event_backbone.cli.output import print_line
from event_backbone.cli.project import Project
from event_backbone.contract import events_of
from event_backbone.errors import BackboneError
from event_backbone.model import StreamName
from event_backbone.testing.servers import EmbeddedRedis, S3Server

_BUCKET = "demo-events"
_ENVIRONMENT = "demo"
_WITHIN = timedelta(seconds=30)
_POLL_SECONDS = 0.02


async def run_demo(project: Project, start_redis: Callable[[], EmbeddedRedis]) -> None:
    """Run the demo on the Redis that ``start_redis`` starts, and leave nothing behind, however it ends.

    Raises:
        BackboneError: a server is not installed, a process failed, or an event did not arrive exactly once.
    """
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_sigterm_cancels())
        s3 = None if project.s3_options is None else _start_s3(stack)
        redis = start_redis()
        stack.callback(redis.stop)
        print_line(f"Redis-compatible server at {redis.url}" + (f", S3 server at {s3.endpoint}." if s3 else "."))
        environment = child_environment(
            {"EVENT_SOURCE_ENVIRONMENT": _ENVIRONMENT} | redis.environment() | (s3.environment(_BUCKET) if s3 else {})
        )
        read_s3 = None if s3 is None else await asyncio.to_thread(_bucket, s3)
        worker = None
        if project.group is not None:
            worker = stack.enter_context(DemoProcess("The worker", project, "worker"))
            await worker.start(environment)
        producer = stack.enter_context(DemoProcess("The producer", project, "_send-every-event"))
        await producer.start(environment)
        stream = StreamName.of(project.uri, _ENVIRONMENT).key
        read_redis = stack.enter_context(contextlib.closing(RedisReadBack(redis, stream)))
        sent = await _sent(project, producer)
        handled = [] if worker is None else await _handled(project, worker, sent, read_redis)
        archived = [] if read_s3 is None else await _archived(project, stack, environment, read_s3)
        results = await asyncio.to_thread(lambda: [_result(each, handled, read_redis, read_s3) for each in sent])
        print_report(results, archived, consumes=project.group is not None)
        _check(results, project, "" if worker is None else worker.log())
        if project.archives:
            redis.stop()
            redis = start_redis()
            stack.callback(redis.stop)
            environment |= redis.environment()
            await lose_and_restore(project, stack, environment, sent, end_of=_end_of)
    took = timedelta(seconds=time.monotonic() - begin)
    print_line(f"Done in {took.total_seconds():.1f} seconds; servers and processes are gone.")
    print_next_steps(project)


@contextlib.contextmanager
def _sigterm_cancels() -> Generator[None, None, None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that it cleans up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _start_s3(stack: contextlib.ExitStack) -> S3Server:
    """Start the S3 server, which loads while the demo goes on."""
    server = S3Server()
    stack.callback(server.stop)
    server.start()
    return server


def _bucket(server: S3Server) -> S3ReadBack:
    """Wait for the server, create the bucket, and return its reader."""
    variables = server.environment(_BUCKET)
    reader = S3ReadBack(
        _BUCKET,
        server.endpoint,
        variables["S3_EVENT_SOURCE_ACCESS_KEY"],
        variables["S3_EVENT_SOURCE_SECRET"],
        variables["S3_EVENT_SOURCE_REGION"],
    )
    server.wait_ready()
    server.create_bucket(_BUCKET)
    return reader


async def _sent(project: Project, producer: DemoProcess) -> list[JournalEntry]:
    """Return what the producer sent, once it has ended."""
    await _end_of(producer)
    await producer.read_all()
    if len(producer.entries) != len(events_of(project.contract)):
        raise producer.failure()
    return producer.entries


async def _handled(
    project: Project, worker: DemoProcess, sent: list[JournalEntry], redis: RedisReadBack
) -> list[JournalEntry]:
    """Wait until the group has finished every event, stop the worker, and return what it did."""
    group = project.group or ""

    def finished() -> bool:
        if not worker.running:
            raise worker.failure()
        return redis.finished(group, sent[-1].key)

    await _until(finished, "The worker did not finish every event")
    worker.stop()
    await worker.read_all()
    return worker.entries


async def _archived(
    project: Project, stack: contextlib.ExitStack, environment: Mapping[str, str], s3: S3ReadBack
) -> list[PayloadLocation]:
    """Let the project archive what was sent, and return the archive's objects."""
    if not project.archives:
        return []
    archiver = stack.enter_context(DemoProcess("The archiver", project, "archive", "--once"))
    await archiver.start(environment, journal=False)
    await _end_of(archiver)
    segments = await asyncio.to_thread(s3.segments)
    if not segments:
        raise archiver.failure()
    return segments


async def _end_of(process: DemoProcess) -> None:
    await _until(lambda: not process.running, f"{process.name} did not end")


async def _until(condition: Callable[[], bool], problem: str) -> None:
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            while not condition():  # noqa: ASYNC110 - processes and servers set no event of ours
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise BackboneError(f"{problem} within {_WITHIN.total_seconds():g} seconds.") from error


def _result(
    sent: JournalEntry, handled: list[JournalEntry], redis: RedisReadBack, s3: S3ReadBack | None
) -> EventResult:
    """Look up where the servers have the event, and who handled it."""
    event_id = redis.event_id(sent.key)
    locations = [] if event_id is None else redis.find(event_id) + redis.find_inline(sent.key)
    if s3 is not None and event_id is not None:
        locations = s3.find(event_id) + locations
    return EventResult(sent, tuple(locations), tuple(each for each in handled if each.key == sent.key))


def _check(results: list[EventResult], project: Project, worker_log: str) -> None:
    """Raise unless every event is stored where the project wants it and, if it consumes, was handled exactly once."""
    for each in results:
        if not any(location.size_bytes for location in each.locations):
            raise BackboneError(f"The payload of {each.sent.event} was not found in the storage.")
        if project.s3_options is not None and not each.in_s3:
            raise BackboneError(f"The payload of {each.sent.event} was not found in S3.")
        times = sum(attempt.outcome == "handled" for attempt in each.attempts)
        if project.group is not None and times != 1:
            sys.stderr.write(worker_log)
            raise BackboneError(f"{each.sent.event} was handled {times} times, not once; the worker's log is above.")
