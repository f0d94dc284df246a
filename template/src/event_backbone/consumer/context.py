"""``Context``: what a handler learns about its event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic

from typing_extensions import TypeVar as TypeVarWithDefault

from event_backbone.model import Metadata

S_co = TypeVarWithDefault("S_co", default=None, covariant=True)


class Context(Generic[S_co]):
    """What a handler learns about its event, besides the event's arguments.

    ``metadata`` says which event it is. ``attempt`` counts the deliveries to this consumer group from 1, this one and
    those that ended in a crash included. ``acked`` says whether ``ack`` was called. ``services`` is the object that the
    handlers were subscribed with. ``replaying`` says whether the event is only replayed: then ``attempt`` counts within
    the replay, and ``ack`` only sets ``acked``.
    """

    __slots__ = ("_ack", "_services", "acked", "attempt", "metadata")

    def __init__(self, metadata: Metadata, attempt: int, ack: Callable[[], Awaitable[None]], services: S_co) -> None:
        """Describe one attempt; ``ack`` acks the event."""
        self.metadata = metadata
        self.attempt = attempt
        self.acked = False
        self._ack = ack
        self._services = services

    @property
    def services(self) -> S_co:
        """What the handlers of this subscription need, as given to ``subscribe(services=...)``; None without any."""
        return self._services

    @property
    def replaying(self) -> bool:
        """Whether the event comes from a replay or is debugged, rather than delivered to a consumer group."""
        return False

    async def ack(self) -> None:
        """Ack the event now: it is never delivered to this group again, whatever the handler does afterwards.

        With the ack policy ``manual`` this is the only way to ack an event; with the others it acks early. Only the
        first call has an effect.

        Raises:
            LeaseLost: another consumer has taken the event over, or it is already acked.
        """
        if not self.acked:
            self.acked = True
            await self._ack_now()

    async def _ack_now(self) -> None:
        await self._ack()
