"""The loop of a forwarder: reads on in the source after the link's checkpoint, and appends to the target."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic

from event_backbone import telemetry
from event_backbone.backoff import Backoff, Delays, pause
from event_backbone.errors import (
    ArchiveUnreadable,
    BackboneError,
    ConfigurationError,
    PayloadErased,
    StorageError,
    StreamError,
)
from event_backbone.forward.link import Link, Skipped
from event_backbone.forward.options import ForwardOptions
from event_backbone.forward.payloads import Payloads, Side
from event_backbone.forward.recovering import last_forwarded
from event_backbone.forward.restored import restored_before
from event_backbone.forward.source import SourceEvent, SourceLoading, WithoutArchive, in_batches
from event_backbone.model import EventKey, Payload
from event_backbone.reader import key_at
from event_backbone.scanning import ColdPages, Scan
from event_backbone.stream.base import Stream
from event_backbone.stream.redis.archive_notes import ArchiveNotes
from event_backbone.stream.redis.forwarding import LinkState, RedisForwarding

_FAILURES = (ArchiveUnreadable, ConfigurationError, StorageError, StreamError)
_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=5), jitter=0.25)
_PAGE = 500
_FRESH_SECONDS = 10.0  # then a slow link reads again what it has read ahead in the archive: it may be erased by now
_MILLISECOND = timedelta(milliseconds=1)
_BEGINNING = EventKey(0)

_log = logging.getLogger("event_backbone")


class LinkDiffers(ConfigurationError):
    """The link has forwarded something else under this name before."""


class ForwardLoop:
    """Forwards one link until it is stopped, or at its end. It survives whatever both sides do."""

    def __init__(
        self,
        link: Link,
        forwarding: RedisForwarding,
        source: tuple[Stream, Side, ArchiveNotes],
        target: tuple[Stream, Side],
        payloads: Payloads,
        *,
        options: ForwardOptions,
        window: timedelta,
    ) -> None:
        """Forward from ``source`` to ``target``; ``window`` is how long the target remembers event ids."""
        self.link = link
        self._forwarding = forwarding
        self._stream, self._source, self._notes = source
        self._target_stream, self._target = target
        self._payloads = payloads
        self._options = options
        self._window = window // _MILLISECOND
        self._scan: Scan[SourceEvent] | None = None
        self._stop_before: EventKey | None = None
        self._state: LinkState | None = None
        self._is_new = self._has_read = False
        self._pages = 0
        self._waiting: list[tuple[EventKey, int, asyncio.Future[None]]] = []
        self._attributes = {"uri": self._source.scope.stream.uri, "link": link.name}
        self._failing_since = monotonic()
        self._sent_until = self._opened_at = 0.0
        self.stopping = asyncio.Event()
        self.forwarded = 0
        self.skipped: dict[Skipped, int] = {}
        self.problem: BackboneError | None = None
        self.lag = timedelta(0)

    @property
    def position(self) -> EventKey | None:
        """The link's checkpoint as it is known here."""
        return None if self._state is None else self._state.checkpoint

    async def run(self) -> None:
        """Forward until ``stopping`` is set, or until the end."""
        delays = Delays(_BACKOFF)
        try:
            while not self.stopping.is_set():
                try:
                    if not await self._next_page():
                        return
                except LinkDiffers:
                    raise
                except _FAILURES as error:
                    await self.failed(error)
                    await pause(self.stopping, delays.next())
                else:
                    self._succeeded()
                    delays.reset()
        finally:
            await self._close_scan()
            for _, _, waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)

    async def locate(self) -> LinkState:
        """Return how far the link is, and begin it if it is new.

        Raises:
            LinkDiffers: it has forwarded something else under this name.
        """
        state = await self._forwarding.link(self.link.name)
        if state is None:
            position = await last_forwarded(self.link, self._target_stream, self._target.cold)
            self._is_new = position is None
            if position is not None:
                _log.warning("Redis has lost the checkpoint of link %s; it goes on after %s.", self.link.name, position)
            begin = position if position is not None else await self._start()
            await self._forwarding.begin(LinkState(self.link.name, begin, self.link.forwards))
            state = await self._forwarding.link(self.link.name) or LinkState(self.link.name, begin, self.link.forwards)
        if state.forwards != self.link.forwards:
            raise LinkDiffers(
                f"Link {self.link.name!r} forwards something else to this stream: {state.forwards}; give it another "
                "--name, which is name= in Python, or forward the same as before."
            )
        self._state = state
        return state

    async def until(self, key: EventKey) -> None:
        """Return once all events of the source up to this key are forwarded, or the loop has ended."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append((key, self._pages, waiting))
        await waiting

    async def _next_page(self) -> bool:
        """Forward the next page; return whether there may be more."""
        if self._scan is None:
            await self._open_scan()
        self._pages += 1
        page = None if self._scan is None else await self._scan.next_page()
        if page is None or self._scan is None:
            return False
        wanted, position, self._has_read = self._wanted(page), self._scan.position, bool(page)
        rate = self._options.rate
        for batch in in_batches(wanted, _PAGE if rate is None else max(1, min(_PAGE, int(rate)))):
            if self.stopping.is_set():
                return False
            self._report(_age(batch[0].key))
            await self._send(batch, batch[-1].key)
            if rate is not None and batch[-1].archived is not None and monotonic() - self._opened_at > _FRESH_SECONDS:
                await self._close_scan()
                return True
        if self._state is None or position > self._state.checkpoint:
            await self._send([], position)
        self._is_new = self._is_new and position == _BEGINNING
        self._resolve(read_all=self._scan.at_end)
        return True

    async def _open_scan(self) -> None:
        state = await self.locate()
        if not self._options.follow and self._stop_before is None:
            newest = (await self._stream.last_key()).successor()
            end = self._options.end
            self._stop_before = newest if end is None else min(newest, key_at(end))
        cold: ColdPages = self._source.cold or WithoutArchive(self._notes, self._on_gap)
        self._opened_at = monotonic()
        self._scan = Scan(
            self._stream,
            cold,
            SourceLoading(lambda _: self._skip("unreadable")),
            position=state.checkpoint,
            stop=self._stop_before,
            wanted=None,
            follow=self._options.follow,
            page=_PAGE,
        )

    async def _start(self) -> EventKey:
        start = self._options.start
        if start is None:
            return _BEGINNING
        return await self._stream.last_key() if start == "now" else key_at(start).predecessor()

    def _wanted(self, page: Sequence[SourceEvent]) -> list[SourceEvent]:
        wanted: list[SourceEvent] = []
        for event in page:
            reason = self.link.skips(event.members)
            if reason is None:
                wanted.append(event)
            else:
                self._skip(reason)
        return wanted

    async def _send(self, events: Sequence[SourceEvent], covers: EventKey) -> None:
        """Append a batch, and move the checkpoint to ``covers``."""
        state = self._state
        if state is None or covers <= state.checkpoint:
            return
        there = await restored_before(events, self._target_stream, self._target.cold, self._window)
        self._skip("known", len(there))
        # Inline payloads were read with the page: since then they may have been erased, which must hold in the target.
        erased = await self._stream.erased([each.key for each in events if not each.references])
        self._skip("erased", len(erased - there))
        found = await self._with_payloads([each for each in events if each.key not in there | erased])
        entries = await self._payloads.entries(found)
        keyed = [(event.key, entry) for (event, _), entry in zip(found, entries, strict=True)]
        done = await self._forwarding.append(state, keyed, covers, self._window)
        if done is None:
            await self._close_scan()
            raise StreamError(f"The checkpoint of link {self.link.name!r} has changed; it is read again.")
        self._state = state._replace(checkpoint=done.checkpoint)
        self.forwarded += done.appended
        telemetry.forwarded.add(done.appended, self._attributes)
        self._skip("known", done.known)
        if done.refused is not None:
            raise done.refused
        await self._keep_rate(len(events))

    async def _with_payloads(self, events: Sequence[SourceEvent]) -> list[tuple[SourceEvent, Payload | None]]:
        """Return the events with the payloads that are to be copied; without those whose payload is nowhere."""
        copied = [each for each in events if self._payloads.is_copied(each)]
        if not copied:
            return [(each, None) for each in events]
        contents = await self._payloads.load(copied)
        payloads = {each.key: content for each, content in zip(copied, contents, strict=True)}
        found: list[tuple[SourceEvent, Payload | None]] = []
        for event in events:
            payload = payloads.get(event.key)
            if not isinstance(payload, StorageError):
                found.append((event, payload))
            elif isinstance(payload, PayloadErased):
                self._skip("erased")
            else:
                self._skip("gone")
                _log.error("Event %s is not forwarded, as its payload is gone: %s", event.key, payload)
        return found

    async def _keep_rate(self, events: int) -> None:
        if self._options.rate is not None and events:
            self._sent_until = max(self._sent_until, monotonic()) + events / self._options.rate
            await pause(self.stopping, timedelta(seconds=max(0.0, self._sent_until - monotonic())))

    def _skip(self, reason: Skipped, events: int = 1) -> None:
        if events:
            self.skipped[reason] = self.skipped.get(reason, 0) + events
            telemetry.forward_skipped.add(events, {**self._attributes, "reason": reason})

    def _on_gap(self, until: EventKey) -> None:
        if self._is_new:
            _log.info("Link %s begins after %s: events up to there have left the stream.", self.link.name, until)
            return
        telemetry.forward_gaps.add(1, self._attributes)
        text = "Events up to %s left stream %s before link %s had forwarded them; they are not in the target."
        _log.error(text, until, self._source.scope.stream.key, self.link.name)

    def _resolve(self, *, read_all: bool) -> None:
        reached = self.position or _BEGINNING
        for until, pages, waiting in self._waiting:
            if not waiting.done() and (until <= reached or (read_all and self._pages > pages)):
                waiting.set_result(None)
        self._waiting = [each for each in self._waiting if not each[2].done()]

    def _succeeded(self) -> None:
        self.problem = None
        at_end = self._scan is not None and self._scan.at_end
        position = self.position if self._has_read and not at_end else None
        self._report(timedelta(0) if position is None else _age(position))

    async def failed(self, error: BackboneError) -> None:
        """Note, log and count that a side does not answer; the same error is logged once."""
        if self.problem is None:
            self._failing_since = monotonic()
        if str(error) != str(self.problem):
            _log.warning("Link %s does not forward at the moment; it will be retried: %s", self.link.name, error)
        self.problem = error
        telemetry.outages.add(1, {"uri": self._attributes["uri"], "side": "forward"})
        await self._close_scan()
        self._report(max(self.lag, timedelta(seconds=monotonic() - self._failing_since)))

    def _report(self, lag: timedelta) -> None:
        self.lag = lag
        telemetry.forward_lag.set(lag.total_seconds(), self._attributes)

    async def _close_scan(self) -> None:
        scan, self._scan = self._scan, None
        if scan is not None:
            await scan.close()


def _age(key: EventKey) -> timedelta:
    return timedelta(seconds=max(0.0, time.time() - key.milliseconds / 1000))
