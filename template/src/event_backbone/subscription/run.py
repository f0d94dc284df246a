"""One run of a subscription: its loops, and how they end, whatever ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from datetime import timedelta
from typing import cast

from event_backbone.errors import BackboneError, StreamError
from event_backbone.subscription.assembly import Assembly
from event_backbone.subscription.event_loop_watch import EventLoopWatch
from event_backbone.subscription.monitoring import LagLoop

# Together they keep a stop within the drain time and 3 s, even when Redis does not answer.
_END_READ_WITHIN = timedelta(milliseconds=700)
_GIVE_BACK_WITHIN = timedelta(milliseconds=800)
_CANCEL_WITHIN = timedelta(milliseconds=500)
_FINISH_WITHIN = timedelta(milliseconds=800)
_LEAVE_WITHIN = timedelta(milliseconds=500)


class Run:
    """Runs the parts of a subscription until ``stop``, or until one of them breaks.

    Both end the same way: no new reads, what runs may finish within ``drain``, what has finished is acked, the rest
    goes back to the group, and the member leaves it.
    """

    def __init__(self, parts: Assembly, lag: LagLoop, blocking: EventLoopWatch, drain: timedelta) -> None:
        """Prepare; ``execute`` runs it."""
        self.parts = parts
        self._lag = lag
        self._blocking = blocking
        self._drain = drain
        self._stopped_at: float | None = None
        self._draining: asyncio.Timeout | None = None
        self._broken: BaseException | None = None
        self.left_behind = 0

    def stop(self, drain: timedelta | None = None) -> None:
        """Let nothing new begin; a second call may shorten ``drain``."""
        loop = asyncio.get_running_loop()
        if self._stopped_at is None:
            self._stopped_at = loop.time()
        if drain is not None:
            self._drain = drain
            if self._draining is not None and not self._draining.expired():
                self._draining.reschedule(loop.time() + drain.total_seconds())
        self.parts.stop()

    def broken(self, error: BaseException) -> None:
        """Stop because of an error, which ``execute`` raises in the end."""
        if self._broken is None:
            self._broken = error
            self.parts.monitor.broken(error)
        self.stop()

    async def execute(self) -> None:
        """Run until stopped; raise what broke it."""
        parts = self.parts
        reading = self._loop(parts.intake.run(), "intake")
        acks = self._loop(parts.acks.run(), "acks")
        preparing = {
            self._loop(parts.loading.run(), "loading"),
            self._loop(parts.quarantine.run(), "quarantine"),
            self._loop(self._lag.run(), "lag"),
        }
        tasks = {reading, acks, *preparing}
        self._blocking.start()
        try:
            await parts.stopping.wait()
            await self._end_intake(reading)
            tasks.add(self._loop(parts.intake.keep_lease(), "lease"))
            await _cancel(preparing)
            parts.settlement.close()
            await asyncio.gather(self._end_running(), self._try_within(_GIVE_BACK_WITHIN, parts.give_back()))
            await self._try_within(_FINISH_WITHIN, self._finish(acks))
        finally:
            self._blocking.stop()
            parts.workers.cancel()
            await _cancel(tasks | parts.settlement.calls)
            parts.settlement.close()
            await self._leave()
        if self._broken is not None:
            raise self._broken from self._broken.__cause__

    def _loop(self, running: Coroutine[object, None, None], name: str) -> asyncio.Task[None]:
        """Start a loop; one that ends while nothing stops breaks the subscription, loudly."""
        task = asyncio.create_task(running, name=f"event-backbone-{name}")
        task.add_done_callback(self._loop_ended)
        return task

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.broken(_first(error))
        elif not self.parts.stopping.is_set():
            self.broken(RuntimeError(f"The task {task.get_name()} of a subscription was ended from outside."))

    async def _end_intake(self, reading: asyncio.Task[None]) -> None:
        """End reading. A read is woken, not cancelled, as it would still be given events; unless Redis is silent."""
        self.parts.member.wake()
        await asyncio.wait({reading}, timeout=_END_READ_WITHIN.total_seconds())
        await _cancel({reading, *self.parts.member.waking})

    async def _end_running(self) -> None:
        """Let the running handlers finish, and cancel those that take longer than ``drain``."""
        workers, stopped_at = self.parts.workers, self._stopped_at or 0.0
        try:
            async with asyncio.timeout_at(stopped_at + self._drain.total_seconds()) as self._draining:
                await workers.wait_idle()
        except TimeoutError:
            workers.cancel()
            if not await workers.wait_idle(_CANCEL_WITHIN):
                self.left_behind = workers.running
                self.parts.monitor.not_ended(self.left_behind)
        finally:
            self._draining = None

    async def _finish(self, acks: asyncio.Task[None]) -> None:
        """Ack what has finished, settle what was decided, and give back everything else."""
        self.parts.acks.close()
        await asyncio.wait({acks})
        await self.parts.settlement.settled()
        self.parts.settlement.close()
        await self.parts.give_back(all_of_them=True)

    async def _leave(self) -> None:
        monitor, left = self.parts.monitor, len(self.parts.in_flight.events)
        if left:
            monitor.left_pending(left)
        try:
            async with asyncio.timeout(_LEAVE_WITHIN.total_seconds()):
                await self.parts.member.leave()
        except BackboneError as error:
            monitor.not_left(error)
        except TimeoutError:
            pass

    async def _try_within(self, limit: timedelta, trying: Awaitable[None]) -> None:
        """Await for at most ``limit``. What is not done by then is taken over when this member's row has ended."""
        try:
            async with asyncio.timeout(limit.total_seconds()):
                await trying
        except (StreamError, TimeoutError):
            pass
        except BackboneError as error:  # the next step of the end may still work
            self.broken(error)


def _first(error: BaseException) -> BaseException:
    """Return the error itself, or the first one of a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    running = {task for task in tasks if not task.done()}
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
