"""The event that handlers are called with, as the producers that they use see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

from event_backbone.consumer import Context
from event_backbone.errors import LeaseLost, OnceInvalid
from event_backbone.model import EventKey, FollowUp, KeptFollowUp, Metadata
from event_backbone.stream.base import FollowUps
from event_backbone.stream.values import Lease

T = TypeVar("T")


class HandledEvent(Context[Any]):
    """The context of one attempt at an event, which implements ``model.correlation.CurrentEvent`` for it.

    All handlers of the event get the same one. One object for both: fast path, see decision 0010.
    """

    __slots__ = ("_ack_event", "_entry", "_event", "_leases", "_used", "group")

    def __init__(  # noqa: PLR0917 - positional: fast path, see decision 0010
        self,
        metadata: Metadata,
        entry: EventKey,
        attempt: int,
        ack: Callable[[T], Awaitable[None]],
        event: T,
        services: object,
        leases: FollowUps,
        group: str,
    ) -> None:
        """Describe one attempt; ``ack(event)`` acks the event, and ``leases`` are its member's.

        ``entry`` is the key of the entry that was delivered: another one than the event's if that was redriven from the
        archive.
        """
        self.metadata = metadata
        self._entry = entry
        self.attempt = attempt
        self.acked = False
        self._ack_event, self._event = ack, event
        self._services = services
        self._leases = leases
        self._used: set[FollowUp] | None = None  # made when needed: most handlers produce nothing once
        self.group = group

    @property
    def replaying(self) -> bool:
        """Whether no group delivered the event: it is replayed or debugged."""
        return not self.group

    async def _ack_now(self) -> None:
        await self._ack_event(self._event)

    @contextmanager
    def producing(self, follow_up: FollowUp) -> Generator[None]:
        """Wrap the call that produces a follow-up event; if it fails, the label may be used again in this attempt."""
        if self.acked:
            raise OnceInvalid("once= does not work after ctx.ack(): produce first, then ack.")
        if self._used is None:
            self._used = set()
        if follow_up in self._used:
            raise OnceInvalid(
                f"The label {follow_up.label!r} is already used for {follow_up.event} in this attempt;"
                " give each event that a handler produces another label."
            )
        self._used.add(follow_up)
        try:
            yield
        except BaseException:
            self._used.discard(follow_up)
            raise

    async def reserve(self, follow_up: FollowUp, event_id: UUID, *, instead_of: UUID | None = None) -> KeptFollowUp:
        """Keep ``event_id`` for the follow-up event unless one is kept already, and return what is kept."""
        lease = Lease(self._entry, self.attempt)
        kept = await self._leases.reserve_follow_up(lease, follow_up, event_id, instead_of=instead_of)
        if kept is None:
            key = self.metadata.key
            raise LeaseLost(f"Event {key} is finished, or another consumer has it; produce nothing more for it here.")
        return kept

    async def note(self, follow_up: FollowUp, event_id: UUID, key: EventKey) -> None:
        """Note the key under which the follow-up event with this id is in its stream."""
        await self._leases.note_follow_up(self._entry, follow_up, event_id, key)
