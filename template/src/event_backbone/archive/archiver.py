"""``Archiver``: copies the events of one stream into the archive, for as long as it is open."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from event_backbone.archive.archive_loop import ArchiveLoop
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.backoff import Backoff, Delays
from event_backbone.errors import BackboneError, StorageUnavailable, StreamUnavailable
from event_backbone.tasks import RunsOnce

if TYPE_CHECKING:
    from event_backbone.model import EventKey
    from event_backbone.stream.base import Stream

_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=1), jitter=0)


class Archiver(RunsOnce):
    """Copies events into the archive, and keeps the state of the consumer groups there. Runs like a subscription.

    ```python
    async with backbone.archiver("shipments") as archiver:
        await archiver.wait()
    ```

    Entering starts it, leaving stops it; it runs once. It acks and claims nothing, and no group sees it. Any number may
    archive a stream, in one process or many: one works at a time, and another takes over when it is silent for 10 s.
    An event is copied once, whatever crashes when. Outages of Redis and S3 are waited for; only a programming error
    ends it, or a ConfigurationError when it starts.
    """

    def __init__(self, archive: S3Archive, stream: Stream, loop: ArchiveLoop) -> None:
        """Prepare; nothing is read before it is entered."""
        self._archive = archive
        self._stream = stream
        self._loop = loop

    async def __aenter__(self) -> Self:
        """Start, once the archive was found to be usable; an outage of S3 is not waited for here, but later.

        Raises:
            ConfigurationError: the bucket is another environment's, a permission is missing, or two writers could
                overwrite each other there.
        """
        self._refuse_second_run()
        try:
            await self._loop.check()
        except StorageUnavailable as error:
            self._loop.problem = error
        self._begin(self._loop.run())
        return self

    def stop(self, drain: timedelta | None = None) -> None:  # noqa: ARG002 - as a subscription's
        """Ask it to stop, and return at once; ``wait`` returns when it has. May be called twice.

        What is not committed is read again by whoever archives next, so there is nothing to drain.
        """
        self._loop.stop()

    async def commit(self) -> None:
        """Write what is open now; return when everything that is in the stream at this call is in the archive.

        Outages are waited for.

        Raises:
            EventsLost: Redis has lost events that the archive has; nothing is archived before they are restored.
            StorageUnavailable: it was stopped before.
        """
        task = self._running()
        committing = asyncio.create_task(self._commit())
        try:
            await asyncio.wait({task, committing}, return_when=asyncio.FIRST_COMPLETED)
            if committing.done():
                await committing
            else:
                await self.wait()
                raise StorageUnavailable("The archiver was stopped before it had committed.")
        finally:
            committing.cancel()

    async def until_idle(self) -> None:
        """Do the same as ``commit``: an archiver is idle once everything is in the archive.

        Returns early when it was stopped, and raises what broke it.
        """
        try:
            await self.commit()
        except StorageUnavailable:
            if not self._loop.stopping.is_set():
                raise
            await self.wait()

    @property
    def uri(self) -> str:
        """The URI of its stream."""
        return self._stream.name.uri

    @property
    def handled(self) -> int:
        """How many events it has committed."""
        return self._loop.archived

    @property
    def lag(self) -> timedelta:
        """How old the oldest event is that is not archived, or for how long archiving has failed, if that is longer.

        0 if all are archived, and while another archiver works.
        """
        return self._loop.lag

    @property
    def ready(self) -> bool:
        """Whether events are archived in time: it is alive, Redis and S3 answer, and Redis has lost no event."""
        in_time = self._loop.problem is None and self.lag < self._archive.late_after
        return self.alive and not self._loop.stopping.is_set() and in_time

    @property
    def problem(self) -> BackboneError | None:
        """What keeps it from archiving at the moment, while it retries; None if nothing does."""
        return self._loop.problem

    async def _commit(self) -> None:
        await self._loop.commit(await self._last_key())

    async def _last_key(self) -> EventKey:
        delays = Delays(_BACKOFF)
        while True:
            try:
                return await self._stream.last_key()
            except StreamUnavailable:
                await delays.wait()
