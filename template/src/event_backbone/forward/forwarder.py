"""``Forwarder``: copies the events of one stream to another, for as long as it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from event_backbone import telemetry
from event_backbone.backoff import Backoff, Delays
from event_backbone.errors import BackboneError, StorageUnavailable, StreamUnavailable
from event_backbone.forward.link import Skipped
from event_backbone.tasks import RunsOnce

if TYPE_CHECKING:
    from event_backbone.forward.forward_loop import ForwardLoop
    from event_backbone.model import EventKey
    from event_backbone.stream.base import Stream

_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=1), jitter=0)


class Forwarder(RunsOnce):
    """Copies the events of a stream to another URI, environment or Redis. Runs like a subscription.

    ```python
    async with Backbone("target:6379", environment="test") as target:
        async with backbone.forwarder("shipments", to=target) as forwarder:
            await forwarder.wait()
    ```

    Entering starts it, leaving stops it; it runs once. It acks and claims nothing, and no group of the source sees it.
    Each event is appended once, in order, however old it is: the link's checkpoint moves in the same step in which the
    target appends. So neither a crash, nor a lost answer, nor a second forwarder makes a duplicate or a gap.
    Outages of both sides are waited for, and so are wrong settings once it runs; only a programming error ends it, or
    another filter under the name of the link.
    """

    def __init__(self, loop: ForwardLoop, stream: Stream) -> None:
        """Prepare; nothing is read before it is entered. ``stream`` is the source."""
        self._loop = loop
        self._stream = stream

    async def __aenter__(self) -> Self:
        """Start. An outage is not waited for here, but later.

        Raises:
            ConfigurationError: the link has forwarded something else under its name.
        """
        self._refuse_second_run()
        # Prometheus sees a counter rise only if it has seen the counter before.
        link = {"uri": self.uri, "link": self.name}
        telemetry.forward_gaps.add(0, link)
        telemetry.forward_skipped.add(0, {**link, "reason": "gone"})
        telemetry.outages.add(0, {"uri": self.uri, "side": "forward"})
        try:
            await self._loop.locate()
        except (StreamUnavailable, StorageUnavailable) as error:
            await self._loop.failed(error)
        self._begin(self._loop.run())
        return self

    def stop(self, drain: timedelta | None = None) -> None:  # noqa: ARG002 - as a subscription's
        """Ask it to stop after the batch under way, and return at once; ``wait`` returns when it has.

        May be called twice. Whoever forwards this link next goes on where it stopped, so there is nothing to drain.
        """
        self._loop.stopping.set()

    async def until_idle(self) -> None:
        """Return when all events that are in the source at this call are forwarded, or it has ended.

        Outages are waited for.
        """
        task = self._running()
        waiting = asyncio.create_task(self._until_idle())
        try:
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            await (self.wait() if task.done() else waiting)
        finally:
            waiting.cancel()

    @property
    def uri(self) -> str:
        """The URI of the source."""
        return self._stream.name.uri

    @property
    def name(self) -> str:
        """The name of the link."""
        return self._loop.link.name

    @property
    def target(self) -> str:
        """The identity of the target: ``<environment>:<uri>``, preceded by ``<site>//`` if it is at a site."""
        return self._loop.link.target

    @property
    def handled(self) -> int:
        """How many events it has appended to the target."""
        return self._loop.forwarded

    @property
    def skipped(self) -> Mapping[Skipped, int]:
        """How many events it has not forwarded, by reason; after an outage some may be counted again.

        ``event`` and ``origin`` are filters, ``loop`` has been in the target before, ``known`` came there another way,
        the payload of ``erased`` and ``gone`` is nowhere, and ``unreadable`` is not in a known wire format.
        """
        return dict(self._loop.skipped)

    @property
    def position(self) -> EventKey | None:
        """The last key of the source that the link has passed; None while it is not known."""
        return self._loop.position

    @property
    def lag(self) -> timedelta:
        """How old the oldest event is that is not forwarded, or for how long forwarding has failed; 0 if all are."""
        return self._loop.lag

    @property
    def ready(self) -> bool:
        """Whether it forwards: it is alive, and source, target and payload storages answer."""
        return self.alive and self._loop.problem is None and not self._loop.stopping.is_set()

    @property
    def problem(self) -> BackboneError | None:
        """What keeps it from forwarding at the moment, while it retries; None if nothing does."""
        return self._loop.problem

    async def _until_idle(self) -> None:
        delays = Delays(_BACKOFF)
        while True:
            try:
                newest = await self._stream.last_key()
            except StreamUnavailable:
                await delays.wait()
            else:
                await self._loop.until(newest)
                return
