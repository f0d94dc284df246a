"""Folds events into a view: a page of them in one transaction, with the checkpoint."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from time import perf_counter
from typing import Generic, TypeVar

from event_backbone import telemetry
from event_backbone.contract import Contract, decode_event, decode_partial
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import PayloadErased, PayloadForbidden, PayloadGone, PayloadNotGiven, StorageError
from event_backbone.model import EventKey, PartialPayload
from event_backbone.projection.checkpoint import Checkpoint
from event_backbone.projection.projection import Projection, Result
from event_backbone.projection.store import ProjectionKey, ProjectionStore

T = TypeVar("T")

_LONGEST_RUN_SECONDS = 0.005  # of folding at a stretch: others in this event loop go on then

_log = logging.getLogger("event_backbone.projection")


class CheckpointMoved(Exception):
    """Another process has moved the checkpoint. Nothing was folded."""


class EventFailed(Exception):
    """An event could not be folded; its transaction was rolled back."""

    def __init__(self, event: StoredEvent, error: BaseException, *, place: int, handling: bool) -> None:
        """Keep which one of a page, and what was raised; ``handling`` says that a function of the projection did."""
        super().__init__(str(event.key))
        self.event = event
        self.error = error
        self.place = place
        self.handling = handling


class StoreFailed(Exception):
    """The store, or the function that empties the view, raised the cause."""

    def __init__(self, error: Exception) -> None:
        """Keep what was raised."""
        super().__init__()
        self.error = error


class Folding(Generic[T]):
    """Folds into one view. Beside the view, it only knows which events were rejected and are not folded yet."""

    def __init__(self, projection: Projection[Contract, T], store: ProjectionStore[T], key: ProjectionKey) -> None:
        """Fold by ``projection`` into ``store``."""
        self._projection = projection
        self._store = store
        self._key = key
        self._reset = projection.checked_reset()
        self._attributes = {"uri": key.uri, "projection": key.projection}
        self._logged: set[str] = set()
        self.rejected: set[EventKey] = set()
        for name in projection.names():  # Prometheus sees a counter rise only if it has seen the counter before
            telemetry.fold_failed.add(0, {**self._attributes, "event": name})

    async def checkpoint(self) -> str | None:
        """Return the stored checkpoint. Raises StoreFailed."""
        async with _store_errors(), self._store.begin() as tx:
            return await self._store.checkpoint(tx, self._key)

    async def empty(self, expected: str | None, new: Checkpoint) -> None:
        """Empty the view, and begin it again. Raises CheckpointMoved or StoreFailed."""
        async with _store_errors(), self._store.begin() as tx:
            await self._move(tx, expected, new)
            await _called(self._reset(tx))

    async def fold(self, expected: Checkpoint, new: Checkpoint, events: Sequence[StoredEvent]) -> None:
        """Fold events, and move the checkpoint, all or nothing.

        The checkpoint moves first: of two processes that fold the same events, one waits there for the other.

        Raises:
            CheckpointMoved: another process folds, too.
            EventFailed: one of the events cannot be folded.
            StoreFailed: the store raised an error; if that was the commit, it may have taken effect.
        """
        skipped: list[tuple[StoredEvent, str]] = []
        calls = [self._call_for(event, place, skipped) for place, event in enumerate(events)]
        async with _store_errors(), self._store.begin() as tx:
            await self._move(tx, expected.text(), new)
            began = perf_counter()
            for place, call in enumerate(calls):
                if call is None:
                    continue
                try:
                    await _called(call(tx))
                except asyncio.CancelledError as error:
                    if _is_cancelled():
                        raise
                    raise EventFailed(events[place], error, place=place, handling=True) from error
                except Exception as error:
                    raise EventFailed(events[place], error, place=place, handling=True) from error
                if perf_counter() - began > _LONGEST_RUN_SECONDS:
                    await asyncio.sleep(0)
                    began = perf_counter()
        self._report(events, skipped)

    async def _move(self, tx: T, expected: str | None, new: Checkpoint) -> None:
        if not await self._store.move(tx, self._key, expected, new.text()):
            raise CheckpointMoved

    def _call_for(
        self, event: StoredEvent, place: int, skipped: list[tuple[StoredEvent, str]]
    ) -> Callable[[T], Result] | None:
        """Return what folds an event; None if it is passed over."""
        if event.key in self.rejected:
            skipped.append((event, "rejected"))
            return None
        try:
            return self._decoded(event)
        except PayloadForbidden as error:
            raise EventFailed(event, error, place=place, handling=False) from error
        except (PayloadErased, PayloadGone) as error:
            function = self._projection.without_payload_handler
            if function is not None:
                return lambda tx: function(tx, event)
            skipped.append((event, _reason(error)))
            return None
        except Exception as error:
            raise EventFailed(event, error, place=place, handling=False) from error

    def _decoded(self, event: StoredEvent) -> Callable[[T], Result]:
        metadata, content, contract = event.metadata, event.content, self._projection.contract
        if isinstance(content, StorageError):
            raise type(content)(*content.args)
        if isinstance(content, PartialPayload):
            definition, arguments, missing = decode_partial(contract, metadata.event, metadata.version, content)
            metadata = replace(metadata, missing=missing)
        else:
            definition, arguments = decode_event(contract, metadata.event, metadata.version, content)
        function = self._projection.handler_of(definition)
        if function is None:
            raise RuntimeError(f"Event {metadata.event!r} has no function.")  # checked_reset has refused that
        return lambda tx: function(tx, metadata, **arguments)

    def _report(self, events: Sequence[StoredEvent], skipped: Sequence[tuple[StoredEvent, str]]) -> None:
        """Count what the view has now."""
        self.rejected.difference_update(event.key for event in events)
        counts = Counter(event.metadata.event for event in events)
        for event, reason in skipped:
            name = event.metadata.event
            counts[name] -= 1
            telemetry.fold_skipped.add(1, {**self._attributes, "event": name, "reason": reason})
            if reason != "rejected" and reason not in self._logged:
                self._logged.add(reason)
                text = "Projection %r passes over event %s: its payload is %s. Others like it are only counted."
                _log.warning(text, self._key.projection, event.key, reason)
        for name, count in counts.items():
            if count:
                telemetry.folded.add(count, {**self._attributes, "event": name})


@asynccontextmanager
async def _store_errors() -> AsyncGenerator[None, None]:
    try:
        yield
    except (CheckpointMoved, EventFailed):
        raise
    except Exception as error:
        raise StoreFailed(error) from error


async def _called(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result


def _is_cancelled() -> bool:
    """Return whether this task was cancelled from outside; else an awaited one was, which is a failure like others."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _reason(error: StorageError) -> str:
    if isinstance(error, PayloadErased):
        return "erased"
    return "not-given" if isinstance(error, PayloadNotGiven) else "gone"
