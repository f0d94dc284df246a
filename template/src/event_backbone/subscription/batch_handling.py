"""One call of a batch handler: each event is decoded, all that are left are given to the handler, and each is decided.

With interceptors, or when somebody traces, each event has a separate task: what is around its attempt runs there, and
where a handler would be called the event joins the call of the batch handler, and waits for its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol

from event_backbone import telemetry
from event_backbone.consumer import Batch, BatchedEvent, BatchOptions, Context
from event_backbone.errors import DecodeError, StorageError
from event_backbone.model.correlation import current_event
from event_backbone.spans import Trace, current_trace
from event_backbone.subscription.handled_event import HandledEvent
from event_backbone.subscription.handling import Handling
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.outcome import FINISHED, Outcome

_SLICE_SECONDS = 0.0005
_SHORTEST_WAIT_SECONDS = 0.05


class AttemptedEvent(Protocol):
    """An event of a batch."""

    @property
    def active(self) -> bool:
        """Whether it is still to be handled."""
        ...

    @property
    def attempts(self) -> int:
        """Which attempt this is, as the retry policy counts them."""
        ...


class BatchCall(Protocol):
    """A batch that has begun; what there is of each event is at its place."""

    outcomes: list[Outcome | None]

    @property
    def options(self) -> BatchOptions:
        """Its handler."""
        ...

    @property
    def events(self) -> Sequence[AttemptedEvent]:
        """Its events."""
        ...

    @property
    def loaded(self) -> Sequence[LoadedEvent]:
        """What was loaded of them."""
        ...

    @property
    def contexts(self) -> Sequence[HandledEvent]:
        """Their contexts."""
        ...


async def handle_batch(handling: Handling, batch: BatchCall) -> None:
    """Call the handler of a batch that has begun, and fill in its ``outcomes``.

    Raises only what must end the process, and cancellations: of what has no outcome then, they are the failure.
    """
    batch.outcomes = [None] * len(batch.events)
    if handling.wraps:
        await _Joining(handling, batch).run()
    else:
        await _handle(handling, batch)


async def _handle(handling: Handling, batch: BatchCall) -> None:
    decoded = await _decode(handling, batch)
    if not decoded:
        return
    joined = [each for _, each in decoded]
    attributes = batch.loaded[0].route.attributes
    start = perf_counter()
    try:
        error = await _call(batch, joined)
    finally:
        seconds = perf_counter() - start
        for _ in joined:
            telemetry.handle_duration.record(seconds, attributes)
    _decide(handling, batch, decoded, error)


async def _call(batch: BatchCall, events: Sequence[BatchedEvent[..., Any]]) -> BaseException | None:
    """Call the handler, and return what it raised, unless that must end the process, or this task is cancelled."""
    try:
        await batch.options.handler(Batch(events, events[0].ctx.services))
    except Exception as error:  # noqa: BLE001 - handlers are the users' code and may raise anything
        return error
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        return error
    return None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _decide(
    handling: Handling,
    batch: BatchCall,
    decoded: Sequence[tuple[int, BatchedEvent[..., Any]]],
    error: BaseException | None,
) -> None:
    """Fill in the outcome of each event that the handler had; ``error`` is what it raised, if it did."""
    raised_at = None if error is None else handling.place_of(error)
    contexts, outcomes, succeeded, finishes = batch.contexts, batch.outcomes, 0, not handling.acks_manually
    for place, each in decoded:
        ctx = contexts[place]
        if ctx.acked or (each.decision is None and error is None and finishes):
            outcomes[place] = FINISHED
            succeeded += 1
            continue
        attempts = batch.events[place].attempts
        if each.decision is not None:
            outcomes[place] = handling.failed(ctx, attempts, each.decision)
        elif error is not None:
            outcomes[place] = handling.failed(ctx, attempts, error, raised_at)
        else:
            outcomes[place] = handling.succeeded(batch.loaded[place], ctx, attempts)
    if succeeded:
        telemetry.handled.add(succeeded, batch.loaded[0].route.attributes)


async def _decode(handling: Handling, batch: BatchCall) -> list[tuple[int, BatchedEvent[..., Any]]]:
    """Return what can be handled, by place; decide what cannot. Lets other tasks run in between."""
    decoded: list[tuple[int, BatchedEvent[..., Any]]] = []
    decode, until = handling.decode, perf_counter() + _SLICE_SECONDS
    for place, (event, loaded, ctx) in enumerate(zip(batch.events, batch.loaded, batch.contexts, strict=True)):
        if perf_counter() > until:
            await asyncio.sleep(0)
            until = perf_counter() + _SLICE_SECONDS
        if not event.active:
            continue
        try:
            _, arguments = decode(loaded, ctx)
        except (DecodeError, StorageError) as error:
            batch.outcomes[place] = handling.refused(ctx, event.attempts, error)
        else:
            decoded.append((place, BatchedEvent(ctx, arguments, ctx)))
    return decoded


class _Joining:
    """The tasks of a batch's events, and the calls that they join: one, unless something keeps them from each other.

    An interceptor that lets through only some at a time would wait forever for what waits for it. So a call begins as
    long after its first event joined as a batch may wait, and the others join the next.
    """

    def __init__(self, handling: Handling, batch: BatchCall) -> None:
        self._handling = handling
        self._batch = batch
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._joined: dict[
            HandledEvent, tuple[BatchedEvent[..., Any], Trace, asyncio.Future[BaseException | None]]
        ] = {}
        self._traceback: TracebackType | None = None
        self._wait_seconds = max(batch.options.within.total_seconds(), _SHORTEST_WAIT_SECONDS)

    async def run(self) -> None:
        """Run all, until each has its outcome."""
        tasks = [
            self._loop.create_task(self._attempt(place)) for place, each in enumerate(self._batch.events) if each.active
        ]
        try:
            while await self._all_joined(tasks):
                await self._call()
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        for task in tasks:
            task.result()

    async def _attempt(self, place: int) -> None:
        event, ctx, loaded = self._batch.events[place], self._batch.contexts[place], self._batch.loaded[place]
        loaded.route = loaded.route._replace(call=self._join)
        try:
            self._batch.outcomes[place] = await self._handling.handle(loaded, ctx, event.attempts)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            self._batch.outcomes[place] = self._handling.failed(ctx, event.attempts, error)
        finally:
            self._changed.set()

    async def _join(self, ctx: Context[Any], /, **arguments: object) -> None:
        """Be in the next call, and raise what it means for this event."""
        current, trace = current_event(), current_trace()
        done: asyncio.Future[BaseException | None] = self._loop.create_future()
        assert isinstance(current, HandledEvent)  # noqa: S101 - it was made current by Handling
        each: BatchedEvent[..., Any] = BatchedEvent(ctx, arguments, current, trace)
        self._joined[current] = each, trace, done
        self._changed.set()
        failure = await done
        if current.acked:
            return
        if each.decision is not None:
            raise each.decision
        if failure is not None:
            raise failure.with_traceback(self._traceback)

    async def _all_joined(self, tasks: Sequence[asyncio.Task[None]]) -> bool:
        """Wait until each has joined or ended, or has had the time to; return whether any has joined."""
        until: float | None = None
        while len(self._joined) < sum(not task.done() for task in tasks):
            self._changed.clear()
            if self._joined and until is None:
                until = self._loop.time() + self._wait_seconds
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                break
        return bool(self._joined)

    async def _call(self) -> None:
        joined, self._joined = [self._joined[each] for each in self._batch.contexts if each in self._joined], {}
        events = [each for each, _, _ in joined]
        name = events[0].ctx.metadata.event
        with self._handling.batch_span(name, [trace for _, trace, _ in joined]):
            error = await _call(self._batch, events)
        self._traceback = None if error is None else error.__traceback__
        for _, _, done in joined:
            if not done.done():
                done.set_result(error)
