"""``Worker``: subscriptions, projectors, archivers and forwarders that start, stop and are judged as one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from event_backbone.errors import ConfigurationError
from event_backbone.forward import Forwarder
from event_backbone.projection.projector import Projector
from event_backbone.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_backbone.archive.archiver import Archiver

    Part = Subscription | Projector | Forwarder | Archiver


class Worker:
    """Runs subscriptions together, of one contract or several, with projectors, archivers and forwarders.

    ```python
    worker = Worker(
        backbone.archiver("shipments"),
        backbone.subscribe(shipping, services=services, uri="shipments", group="mailer"),
        backbone.subscribe(billing, services=services, uri="invoices", group="mailer"),
    )
    async with worker:
        await worker.wait()
    ```

    With ``until="empty"``, subscriptions end when none of their groups has anything left. If these are all of its
    subscriptions, the other parts finish what is left, and it ends.

    Entering starts all of them, or none: if one cannot start, those before it are stopped. Archivers start last, so
    that an S3 that is slow to answer one of them delays no handler. Leaving stops all at the same time. It runs once.
    """

    def __init__(self, *parts: Part | Worker) -> None:
        """Prepare; nothing is read before it is entered. A worker that is given adds what it would run."""
        if not parts:
            raise ConfigurationError(
                "A worker needs a part, such as a subscription or a projector: Worker(backbone.subscribe(...))."
            )
        flat = [one for each in parts for one in (each.parts if isinstance(each, Worker) else (each,))]
        self._subscriptions = tuple(each for each in flat if isinstance(each, Subscription))
        self._projectors = tuple(each for each in flat if isinstance(each, Projector))
        self._forwarders = tuple(each for each in flat if isinstance(each, Forwarder))
        self._archivers = tuple(each for each in flat if not isinstance(each, Subscription | Projector | Forwarder))
        self._parts: tuple[Part, ...] = (
            *self._subscriptions,
            *self._projectors,
            *self._forwarders,
            *self._archivers,
        )
        self._until_empty = tuple(each for each in self._subscriptions if each.hand_over_end())
        self._ending: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that it runs: subscriptions, projectors, forwarders, archivers."""
        return self._parts

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Its subscriptions, in the order given."""
        return self._subscriptions

    @property
    def projectors(self) -> tuple[Projector, ...]:
        """Its projectors, in the order given."""
        return self._projectors

    @property
    def archivers(self) -> tuple[Archiver, ...]:
        """Its archivers, in the order given."""
        return self._archivers

    @property
    def forwarders(self) -> tuple[Forwarder, ...]:
        """Its forwarders, in the order given."""
        return self._forwarders

    async def __aenter__(self) -> Self:
        """Start all; what one of them raises when it starts is raised here."""
        async with AsyncExitStack() as stack:
            for each in self._parts:
                await stack.enter_async_context(each)
            self._stack = stack.pop_all()
        if self._until_empty:
            self._ending = asyncio.create_task(self._end_when_empty())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop all, and wait for the end. Raises what broke one of them, unless ``wait`` has."""
        self.stop()
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.wait({self._ending})
        await self._stack.__aexit__(kind, error, traceback)

    def stop(self, drain: timedelta | None = None) -> None:
        """Ask all to stop, and return at once; like ``Subscription.stop``."""
        for each in self._parts:
            each.stop(drain)

    async def wait(self) -> None:
        """Wait until all have ended. If one breaks, the others are stopped, and what broke it is raised.

        Cancelling the wait stops nothing.
        """
        waits = [asyncio.create_task(each.wait()) for each in self._parts]
        if self._ending is not None:
            waits.append(asyncio.create_task(_shielded(self._ending)))
        await self._together(waits)

    async def until_idle(self) -> None:
        """Wait until no group has anything left to do, views have all events, and all is forwarded and archived."""
        await self._until_idle(self._parts)

    @property
    def drain(self) -> timedelta:
        """How long running handlers may go on after a stop, the longest of all parts."""
        drains = [*(each.drain for each in self._subscriptions), *(each.drain for each in self._projectors)]
        return max(drains, default=timedelta())

    @property
    def alive(self) -> bool:
        """Whether all of them run, and have shown so within half a minute. When False, restart the process."""
        return all(each.alive for each in self._parts)

    @property
    def ready(self) -> bool:
        """Whether all are ready: events begin, are forwarded and archived in time, and views are up to date."""
        return all(each.ready for each in self._parts)

    async def _end_when_empty(self) -> None:
        all_end = len(self._until_empty) == len(self._subscriptions)
        parts = self._parts if all_end else self._until_empty
        await self._until_idle(parts)
        for each in parts:
            each.stop()

    async def _until_idle(self, parts: Sequence[Part]) -> None:
        idle = False
        while not idle:
            handled = [each.handled for each in parts]
            await self._together([asyncio.create_task(each.until_idle()) for each in parts])
            # The handlers of one may have produced events for another that was idle already.
            idle = handled == [each.handled for each in parts]

    async def _together(self, waits: list[asyncio.Task[None]]) -> None:
        try:
            done, others = await asyncio.wait(waits, return_when=asyncio.FIRST_EXCEPTION)
            if any(each.exception() for each in done):
                self.stop()
                await asyncio.gather(*others, return_exceptions=True)
            for each in done:
                each.result()
        finally:
            for each in waits:
                each.cancel()


async def _shielded(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)
