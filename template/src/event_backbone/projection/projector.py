"""``Projector``: one projection at work: start, stop, health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

from event_backbone.errors import BackboneError, ConfigurationError
from event_backbone.place import place_of, type_name
from event_backbone.projection.failures import OnFailure
from event_backbone.projection.following import Following
from event_backbone.projection.outages import Stopped
from event_backbone.tasks import RunsOnce

_LATE = timedelta(seconds=5)
_WATCH_EVERY = timedelta(seconds=2)
_POLL_SECONDS = 0.02
_LEFT_BEHIND_SECONDS = 3.0

_log = logging.getLogger("event_backbone.projection")


class Projector(RunsOnce):
    """Keeps a view up to date with the events of one stream and its archive. Runs like a subscription.

    ```python
    async with backbone.projector(projection, "shipments", store=store) as projector:
        await projector.until_caught_up()
        await projector.wait()
    ```

    Entering starts it, leaving stops it; it runs once. It belongs to no consumer group and acks nothing. It promises:

    - The view has each event exactly once, in the order of the stream, as the checkpoint is in the same transaction:
      whatever crashes when, and however many processes run the same projection. One of them folds; the others follow.
    - No event is passed over silently. One that cannot be folded is retried by the retry policy; then ``wait`` raises
      ProjectionFailed, and the view stays as it is before that event. ``Reject`` passes over one event; it is logged.
    - Outages of Redis and of payload storages are waited for. Errors of the store are retried by the retry policy, then
      raised.
    - A view of a lower version is begun again, from the first event. One of a higher version is left alone: the
      projector stands by, not ready.
    - A view is also begun again when a restore has given events new keys that it may have under their old ones. Without
      an archive ``wait`` raises ProjectionFailed instead.

    Attributes:
        drain: how long the transaction that is under way may go on after a stop.
    """

    def __init__(self, following: Following[Any], *, name: str, uri: str, drain: timedelta) -> None:
        """Prepare; nothing is read before it is entered."""
        if drain < timedelta():
            raise ConfigurationError("drain must not be negative.")
        self._following = following
        self._name = name
        self._uri = uri
        self.drain = drain
        self._ending: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Start. What is wrong with the store or the stream is raised by ``wait``."""
        self._refuse_second_run()
        self._begin(self._run())
        return self

    def stop(self, drain: timedelta | None = None) -> None:
        """Ask it to stop, and return at once; ``wait`` returns when it has. May be called twice.

        The transaction that is under way may end within ``drain`` (None: the projector's own); then it is cancelled
        and rolled back. Nothing is lost: its events are folded when the projection runs again.
        """
        self._following.stop()
        if self._task is not None and not self._task.done():
            if self._ending is not None:
                self._ending.cancel()
            seconds = (self.drain if drain is None else drain).total_seconds()
            self._ending = asyncio.get_running_loop().call_later(seconds, self._task.cancel)

    async def wait(self) -> None:
        """Wait for its end: by ``stop``, or by what broke it, which is raised here.

        Cancelling the wait does not stop the projector.

        Raises:
            ProjectionFailed: an event cannot be folded, or may be in the view already under another key.
            ConfigurationError: events have left the stream that the view does not have, or its checkpoint cannot be
                read.
            ArchiveUnreadable: a segment is damaged or missing, or a later version wrote it.
            Exception: what the store raised last.
        """
        await super().wait()

    async def until_caught_up(self) -> None:
        """Wait until the view has all events that are in the stream at this call.

        Returns early when it was stopped, and raises what broke it. Outages are waited for, and so is the end of
        another version while it stands by.
        """
        following = self._following
        if not await self._reached(lambda: following.position is not None):
            return
        ends = following.ends
        newest = asyncio.ensure_future(following.newest())
        try:
            if not await self._reached(newest.done):
                return
            until = newest.result()
        except Stopped:
            await self.wait()
            return
        finally:
            newest.cancel()
        # The newest event may have left the stream; then two looks at its end show that nothing is left.
        await self._reached(lambda: (following.position or until) >= until or following.ends >= ends + 2)

    async def until_idle(self) -> None:
        """Do the same as ``until_caught_up``."""
        await self.until_caught_up()

    async def rebuild(self) -> None:
        """Empty the view, fold all events again, from the first, and return when it has caught up.

        Until then others see a view that lacks events. To build one beside the old one, run the projection under
        another name and with other tables, and change to that when it has caught up. Returns and raises as
        ``until_caught_up`` does.
        """
        following, builds = self._following, self._following.builds
        self._running()
        following.begin_again()
        if await self._reached(lambda: following.builds > builds):
            await self.until_caught_up()

    def on_failure(self, call: OnFailure) -> None:
        """Have ``call(metadata, error)`` called with each failed attempt, as it fails. It must not raise.

        For tests and error trackers. Call this before entering.
        """
        self._following.on_failure(call)

    @property
    def name(self) -> str:
        """The name of its projection."""
        return self._name

    @property
    def uri(self) -> str:
        """The URI of its stream."""
        return self._uri

    @property
    def handled(self) -> int:
        """How many events it has folded or passed over; those that another process has folded do not count."""
        return self._following.folded

    @property
    def lag(self) -> timedelta:
        """How old the oldest event is that is not folded, or how long an outage has lasted, if that is longer.

        0 when the view has caught up, and before the first events were read.
        """
        return self._following.lag

    @property
    def ready(self) -> bool:
        """Whether the view is up to date: it has caught up, is at most 5 s behind, and nothing keeps it back."""
        up_to_date = self._following.caught_up and self.lag < _LATE and self.problem is None
        return self.alive and not self._following.stopping.is_set() and up_to_date

    @property
    def problem(self) -> BackboneError | None:
        """What keeps the view from being up to date at the moment; None if nothing does."""
        return self._following.problem

    async def _run(self) -> None:
        following = self._following
        running, watching = asyncio.create_task(following.run()), asyncio.create_task(following.watch(_WATCH_EVERY))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait({running}, timeout=_LEFT_BEHIND_SECONDS)
            if not running.done():
                _log.error("A function of projection %r ignores that it was cancelled; it is left behind.", self._name)
            if not following.stopping.is_set():
                raise
        except BaseException as error:
            said = str(error) if isinstance(error, BackboneError) else f"raised at {' > '.join(place_of(error))}."
            _log.error("Projection %r of %s ends: %s: %s", self._name, self._uri, type_name(error), said)
            raise
        finally:
            watching.cancel()
            if self._ending is not None:
                self._ending.cancel()

    async def _reached(self, condition: Callable[[], bool]) -> bool:
        """Wait until the condition holds, and return True; False if it was stopped. Raises what broke it."""
        task = self._running()
        while not condition():
            if task.done():
                await self.wait()
                return False
            await asyncio.wait({task}, timeout=_POLL_SECONDS)
        return True
