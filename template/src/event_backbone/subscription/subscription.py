"""``Subscription``: one consumer of a group at work: start, stop, drain, health."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from event_backbone.consumer import Consumer, check_services
from event_backbone.contract import Contract, check
from event_backbone.errors import ConfigurationError, StreamUnavailable
from event_backbone.interceptors import HandleInterceptor
from event_backbone.spans import HandleSpans
from event_backbone.storage.base import Storage, StorageScope
from event_backbone.stream.base import Streams
from event_backbone.subscription.assembly import Assembly
from event_backbone.subscription.event_loop_watch import EventLoopWatch
from event_backbone.subscription.handling import Handling, OnFailure
from event_backbone.subscription.monitoring import LagLoop, Monitor
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.run import Run
from event_backbone.subscription.sharing import Shared
from event_backbone.tasks import end_of

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads

_LIFE_SIGN_SECONDS = 30.0
_IDLE_POLL_SECONDS = 0.05


class Subscription:
    """Reads the events of one stream for one consumer group, and calls a consumer's handlers with them.

    Entering starts it, leaving stops it; it runs once. Several consumers of one group, in one process or many, share
    its events; each group gets them all. It promises:

    - An event is acked after its handlers have succeeded. After a crash anywhere it is delivered again, never lost, so
      handlers must tolerate being called twice.
    - The ack of a finished event never waits for a slower one.
    - A consumer that lost the lease of an event can neither ack nor dead-letter it; its handlers are cancelled.
    - It survives whatever Redis does. Only a programming error or a ConfigurationError ends it.

    Each event's handlers run in their own task and context.
    """

    def __init__(
        self,
        streams: Streams,
        *,
        scope: StorageScope,
        group: str,
        consumer: Consumer[Contract, Any],
        storages: Mapping[str, Storage],
        cold: ColdReads | None = None,
        services: object = None,
        options: SubscriptionOptions | None = None,
        interceptors: Sequence[HandleInterceptor] = (),
        shared: Shared | None = None,
    ) -> None:
        """Prepare; nothing is read before it is entered. ``shared`` is what it shares with those of other URIs."""
        if not group:
            raise ConfigurationError("A consumer group needs a name, such as main-consumer.")
        check_services(consumer, services)
        self._streams = streams
        self._scope = scope
        self._group = group
        self._consumer = consumer
        self._services = services
        self._on_failure: OnFailure | None = None
        self._storages = storages
        self._cold = cold
        self._options = options or SubscriptionOptions()
        self._interceptors = interceptors
        self._shared = shared or Shared(self._options.concurrency, self._options.max_events)
        self._run: Run | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._ends_itself = self._options.until == "empty"
        self._raised = False

    async def __aenter__(self) -> Self:
        """Start. Returns once the group exists, or once Redis turned out to be away: then it goes on trying."""
        if self._task is not None:
            raise ConfigurationError("A subscription runs once; subscribe again for another run.")
        check(self._consumer.contract)
        self._run = run = self._prepare()
        self._task = task = asyncio.create_task(run.execute())
        started = asyncio.create_task(run.parts.intake.started.wait())
        try:
            await asyncio.wait({started, task}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            task.cancel()
            await asyncio.wait({task})
            raise
        finally:
            started.cancel()
        if task.done():
            await task
        if self._ends_itself:
            self._ending = asyncio.create_task(self._end_when_empty())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, and wait for the end. Raises what broke it, unless ``wait`` has, or another error is on its way."""
        self.stop()
        if self._ending is not None:
            self._ending.cancel()
        broken = await end_of(cast("asyncio.Task[None]", self._task))
        if broken is not None and error is None and not self._raised:
            raise broken

    def stop(self, drain: timedelta | None = None) -> None:
        """Ask it to stop, and return at once; ``wait`` returns when it has. May be called twice, and within a handler.

        No new events are read. Events that have not begun go back to the group at once, their attempt not counted.
        Running handlers may finish within ``drain`` (None: the subscription's own; a second call may shorten it); then
        they are cancelled, and their events go back uncounted as well, as a stop is not their failure. All of it takes
        at most ``drain`` and 3 s. Handlers that go on after they were cancelled are counted by ``left_behind``.
        """
        if self._run is not None:
            self._run.stop(drain)

    async def wait(self) -> None:
        """Wait for its end: by ``stop``, ``max_events`` or ``until``, or by what broke it, which is raised here.

        Cancelling the wait does not stop the subscription.
        """
        if self._task is None:
            raise ConfigurationError("A subscription must be entered, by async with, before it can be waited for.")
        try:
            await asyncio.shield(self._task)
        except Exception:
            self._raised = True
            raise

    async def until_idle(self) -> None:
        """Wait until the group has nothing left to do: no event is unread, in flight, or waiting for a retry.

        Events that handlers produce to the same stream are waited for too, and so are those of the group's other
        consumers. Returns early when the subscription has stopped, and raises what broke it. An outage of Redis is
        waited for.
        """
        if self._task is None:
            raise ConfigurationError("A subscription must be entered, by async with, before it can be waited for.")
        await self._wait_until_idle(self._task)
        if self._task.done():
            await self.wait()

    def hand_over_end(self) -> bool:
        """Return whether it is to end when its group has nothing left, by its caller. Call it before entering."""
        self._ends_itself = False
        return self._options.until == "empty"

    async def _end_when_empty(self) -> None:
        try:
            await self._wait_until_idle(cast("asyncio.Task[None]", self._task))
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else ends this subscription
            self._break(error)
        else:
            self.stop()

    async def _wait_until_idle(self, task: asyncio.Task[None]) -> None:
        while not task.done() and not await self._is_idle():
            await asyncio.wait({task}, timeout=_IDLE_POLL_SECONDS)

    async def _is_idle(self) -> bool:
        stream = self._streams.stream(self._scope.stream)
        try:
            states = [each for each in await stream.groups(most_counted=1) if each.name == self._group]
            # What is acked at the server may not be counted as handled here yet.
            return bool(states) and not (states[0].pending or states[0].unread or self.in_flight)
        except StreamUnavailable:
            return False

    def on_failure(self, call: OnFailure) -> None:
        """Have ``call(metadata, error)`` called with each failed attempt, as it fails. It must not raise.

        For tests and error trackers. Call this before entering.
        """
        self._on_failure = call

    @property
    def uri(self) -> str:
        """The URI of its stream."""
        return self._scope.stream.uri

    @property
    def group(self) -> str:
        """The name of its consumer group."""
        return self._group

    @property
    def handled(self) -> int:
        """How many events were acked or dead-lettered here."""
        return 0 if self._run is None else self._run.parts.in_flight.finished

    @property
    def in_flight(self) -> int:
        """How many events are in flight here: delivered, and not yet at an end; parked ones are not."""
        return 0 if self._run is None else len(self._run.parts.in_flight.events)

    @property
    def left_behind(self) -> int:
        """How many handlers kept running after a stop had cancelled them; only the end of the process ends them."""
        return 0 if self._run is None else self._run.left_behind

    @property
    def drain(self) -> timedelta:
        """How long running handlers may go on after a stop."""
        return self._options.drain

    @property
    def alive(self) -> bool:
        """Whether it runs and has shown so within half a minute. When False, restart the process."""
        if self._run is None or self._task is None or self._task.done():
            return False
        parts = self._run.parts
        return parts.stopping.is_set() or monotonic() - parts.intake.last_step < _LIFE_SIGN_SECONDS

    @property
    def ready(self) -> bool:
        """Whether events come in and begin: it is alive and not stopping, Redis answers, and nothing holds them back.

        An event that runs alone does, and so do too many that wait for a retry, their storage or a manual ack. Nor is
        it ready for 30 s after it met an event whose storage it was not given, or that requires a later version.
        """
        return self.alive and self._run is not None and not self._run.parts.stopping.is_set() and self._run.parts.ready

    def _prepare(self) -> Run:
        stream, options = self._scope.stream, self._options
        member = _unique_name(options.consumer_name)
        monitor = Monitor(stream, self._group)
        leases = self._streams.group_leases(stream, self._group, member)
        handling = Handling(
            self._consumer,
            services=self._services,
            on_failure=self._on_failure,
            interceptors=self._interceptors,
            retry=options.retry,
            ack=options.ack,
            unknown=options.unknown,
            origin=options.origin,
            attributes=monitor.attributes,
            spans=HandleSpans(stream.key, self._group, options.tracing),
            leases=leases,
            group=self._group,
        )
        parts = Assembly(
            self._streams.stream(stream),
            self._streams.group_reader(stream, self._group, member),
            leases,
            monitor,
            handling,
            group=self._group,
            scope=self._scope,
            storages=self._storages,
            cold=self._cold,
            options=options,
            shared=self._shared,
            on_limit=self.stop,
            broken=self._break,
        )
        lag = LagLoop(self._streams.stream(stream), self._group, monitor, parts.stopping)
        return Run(parts, lag, EventLoopWatch(self._consumer.codes(), monitor), options.drain)

    def _break(self, error: BaseException) -> None:
        if self._run is not None:
            self._run.broken(error)


def _unique_name(first_part: str | None) -> str:
    """Return a member's name that is never used again."""
    return f"{first_part or f'{socket.gethostname()}-{os.getpid()}'}-{secrets.token_hex(4)}"
