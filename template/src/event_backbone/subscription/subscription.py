"""``Subscription``: one consumer of a group at work, from its start to its stop."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import Self, cast

from event_backbone.consumer import Consumer
from event_backbone.contract import Contract, check
from event_backbone.delivery import Deliverer
from event_backbone.errors import ConfigurationError, StreamError
from event_backbone.interceptors import HandleInterceptor
from event_backbone.storage.base import Storage, StorageScope
from event_backbone.stream.base import Streams
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.parts import Parts
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.watching import WatchLoop

_LIFE_SIGN_SECONDS = 30.0
_FAREWELL_SECONDS = 2.0


class Subscription:
    """Reads the events of one stream for one consumer group, and brings them to a consumer's handlers.

    Entering starts it, leaving stops it; it runs once. Several consumers of one group, in one process or many, share
    its events; each group gets them all. It promises:

    - An event is acked after its handlers have succeeded. A crash anywhere means that it comes again, never that it is
      lost, so a handler may see an event twice.
    - The ack of a finished event never waits for a slower one.
    - Whoever has lost the lease of an event can neither ack it nor give it up; its handlers are cancelled.
    - It survives whatever Redis does. Only a programming error or a ConfigurationError ends it.

    Handlers run in a fixed number of tasks, one event after the other: what a handler leaves in a context variable,
    the next event of that task may find.
    """

    def __init__(
        self,
        streams: Streams,
        *,
        scope: StorageScope,
        group: str,
        consumer: Consumer[Contract],
        storages: Mapping[str, Storage],
        options: SubscriptionOptions | None = None,
        interceptors: Sequence[HandleInterceptor] = (),
    ) -> None:
        """Prepare; nothing is read before it is entered."""
        if not group:
            raise ConfigurationError("A consumer group needs a name, such as main-consumer.")
        self._streams = streams
        self._scope = scope
        self._group = group
        self._consumer = consumer
        self._storages = storages
        self._options = options or SubscriptionOptions()
        self._interceptors = interceptors
        self._drain = self._options.drain
        self._draining: asyncio.Timeout | None = None
        self._parts: Parts | None = None
        self._task: asyncio.Task[None] | None = None
        self._told = False

    async def __aenter__(self) -> Self:
        """Start. Returns once the group exists, or once Redis turned out to be away: then it goes on trying."""
        if self._task is not None:
            raise ConfigurationError("A subscription runs once; subscribe again for another run.")
        check(self._consumer.contract)
        self._parts = parts = self._joined()
        self._task = task = asyncio.create_task(self._live(parts))
        started = asyncio.create_task(parts.reads.started.wait())
        try:
            await asyncio.wait({started, task}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await _cancel({task})
            raise
        finally:
            started.cancel()
        if task.done():
            await task
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, and wait for the end. Raises what broke it, unless ``wait`` has, or another error is on its way."""
        task = cast("asyncio.Task[None]", self._task)
        self.stop()
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        broken = None if task.cancelled() else task.exception()
        if broken is not None and error is None and not self._told:
            raise broken

    def stop(self, drain: timedelta | None = None) -> None:
        """Ask it to stop; returns at once, ``wait`` tells when it has. May be called twice, and within a handler.

        No new events are read. What was not begun goes back to the group at once, its attempt not counted. Handlers
        that run may finish within ``drain`` (None: the subscription's own; a second call may shorten it), then they are
        cancelled and their events go back as well, this attempt counted.
        """
        if drain is not None:
            self._drain = drain
            if self._draining is not None:
                self._draining.reschedule(asyncio.get_running_loop().time() + drain.total_seconds())
        if self._parts is not None:
            self._parts.stop()

    async def wait(self) -> None:
        """Wait for its end: by ``stop``, by ``max_events``, or by what broke it, which rises here.

        Cancelling the wait does not stop the subscription.
        """
        if self._task is None:
            raise ConfigurationError("A subscription must be entered, by async with, before it can be waited for.")
        try:
            await asyncio.shield(self._task)
        except Exception:
            self._told = True
            raise

    @property
    def handled(self) -> int:
        """How many events have come to an end here: acked, or moved to the dead letters."""
        return 0 if self._parts is None else self._parts.held.finished

    @property
    def held(self) -> int:
        """How many events are in its hands: read and not yet at an end, waiting retries included."""
        return 0 if self._parts is None else len(self._parts.held.works)

    @property
    def alive(self) -> bool:
        """Whether it is at work and has shown so within half a minute. False: restart the process."""
        if self._parts is None or self._task is None or self._task.done():
            return False
        return self._parts.stopping.is_set() or monotonic() - self._parts.reads.last_step < _LIFE_SIGN_SECONDS

    @property
    def ready(self) -> bool:
        """Whether it gets events: it is alive, not stopping, and Redis answered its last call."""
        return self.alive and self._parts is not None and not self._parts.stopping.is_set() and self._parts.reads.ready

    def _joined(self) -> Parts:
        stream, options = self._scope.stream, self._options
        name = options.consumer or _unique_name()
        signals = Signals(stream, self._group)
        deliverer = Deliverer(
            self._consumer,
            interceptors=self._interceptors,
            retry=options.retry,
            ack=options.ack,
            attributes=signals.attributes,
        )
        return Parts(
            self._streams.group_reader(stream, self._group, name),
            self._streams.group_leases(stream, self._group, name),
            signals,
            deliverer,
            scope=self._scope,
            storages=self._storages,
            options=options,
            on_limit=self.stop,
        )

    async def _live(self, parts: Parts) -> None:
        concurrency, way = self._options.concurrency, parts.handling
        watch = WatchLoop(self._streams.stream(self._scope.stream), self._group, parts.signals, parts.stopping)
        try:
            async with asyncio.TaskGroup() as group:
                intake = {group.create_task(parts.reads.run()), group.create_task(parts.claims.run())}
                preparation = {group.create_task(each.run()) for each in (way.loads, way.retries, watch)}
                running = {group.create_task(way.workers.run()) for _ in range(concurrency)}
                running.add(group.create_task(way.poison.run()))
                acks = group.create_task(way.acks.run())
                heartbeat = group.create_task(parts.heartbeat.run())
                await parts.stopping.wait()
                await self._end_intake(parts, intake, preparation)
                await self._end_running(running)
                await self._give_back(parts, cancelled=True)
                way.acks.close()
                await _within(_FAREWELL_SECONDS, {acks})
                await _cancel({heartbeat})
        except BaseExceptionGroup as errors:
            error = _first(errors)
            raise error from error.__cause__
        finally:
            await self._leave(parts)

    async def _end_intake(
        self, parts: Parts, intake: set[asyncio.Task[None]], preparation: set[asyncio.Task[None]]
    ) -> None:
        """End reading without cancelling a read, and give back what has not begun, before what runs is waited for."""
        waking = asyncio.create_task(parts.reader.wake())
        await asyncio.wait(intake)
        waking.cancel()
        await asyncio.wait({waking})
        await _cancel(preparation)
        await self._give_back(parts)

    async def _end_running(self, running: set[asyncio.Task[None]]) -> None:
        """Let the running handlers finish, and cancel those that take longer than ``drain``."""
        try:
            async with asyncio.timeout(self._drain.total_seconds()) as self._draining:
                await asyncio.wait(running)
        except TimeoutError:
            await _cancel(running)
        finally:
            self._draining = None

    async def _give_back(self, parts: Parts, *, cancelled: bool = False) -> None:
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await parts.give_back(cancelled=cancelled)
        except (StreamError, TimeoutError):
            # What could not be given back is claimed by others once its lease has ended.
            pass

    async def _leave(self, parts: Parts) -> None:
        if parts.held.works:
            parts.signals.left_pending(len(parts.held.works))
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await parts.reader.leave(self._options.crashed_after)
        except StreamError as error:
            parts.signals.not_left(error)
        except TimeoutError:
            pass


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _within(seconds: float, tasks: set[asyncio.Task[None]]) -> None:
    _, late = await asyncio.wait(tasks, timeout=seconds)
    if late:
        await _cancel(late)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    if isinstance(error, BaseExceptionGroup):
        return _first(cast("BaseExceptionGroup[BaseException]", error))
    return error


def _unique_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
