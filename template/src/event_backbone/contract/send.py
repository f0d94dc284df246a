"""Produce one event: what an event method is on a producer."""

from __future__ import annotations

import warnings
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol
from uuid import UUID

from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.registry import HasEvents
from event_backbone.model import EventKey

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The caller's own identity for an event; None means that the producer chooses."""

    event_id: UUID | None = None
    correlation_id: str | None = None
    causation_id: str | None = None


class Sender(Protocol):
    """What a typed producer sends its events through."""

    async def send(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
    ) -> EventKey:
        """Encode, save and append one event, and return its key.

        The arguments are validated before the first await that yields to another task. One call makes one entry,
        however many replies are lost; with an event id from the caller, so do many calls.

        Raises:
            ArgumentsInvalid: the arguments do not fit; nothing was sent.
            NotSent: nothing was sent; calling again is safe.
            OutcomeUnknown: the event may or may not be in the stream; calling again with its event id is safe.
        """
        ...


_NO_OPTIONS = SendOptions()


class Send(Generic[P]):
    """Produces one kind of event: a coroutine function that returns the event's key. ``Sender`` has the promises."""

    __slots__ = ("_definition", "_options", "_sender")

    def __init__(self, sender: Sender, definition: EventDefinition, options: SendOptions = _NO_OPTIONS) -> None:
        """Send the events of ``definition`` with ``sender``."""
        self._sender = sender
        self._definition = definition
        self._options = options

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> EventKey:
        """Produce the event and return its key once it is in the stream."""
        return await self._sender.send(self._definition, args, kwargs, self._options)

    def using(
        self,
        *,
        event_id: UUID | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Send[P]:
        """Return the same with the caller's own identity; what is None stays as it is.

        Args:
            event_id: a UUIDv7; producing twice with one id within the deduplication window makes one entry.
            correlation_id: names the business process that the event belongs to.
            causation_id: names what caused the event.
        """
        options = SendOptions(
            event_id or self._options.event_id,
            correlation_id or self._options.correlation_id,
            causation_id or self._options.causation_id,
        )
        return type(self)(self._sender, self._definition, options)

    def __repr__(self) -> str:
        return f"<produce {self._definition.contract}.{self._definition.attribute}>"


class DeprecatedSend(Send[P]):
    """Produces an event that is deprecated, and warns the caller."""

    __slots__ = ()

    # A plain function, so that the warning names the caller's line and not that of the event loop.
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] - a coroutine as well
        self, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, EventKey]:
        """Warn, and return the coroutine that produces the event."""
        warnings.warn(self._definition.deprecation, DeprecationWarning, stacklevel=2)
        return super().__call__(*args, **kwargs)

    def without_warning(self) -> Send[P]:
        """Return the same for code that cannot do anything about it."""
        return Send(self._sender, self._definition, self._options)


def send_of(producer: HasEvents, definition: EventDefinition) -> Send[...]:
    """Return what produces the events of ``definition`` on this producer, for code that does not know them by name.

    The call is checked when it runs, not by a type checker; by name, ``producer.packing`` is typed. It does not warn of
    deprecated events, as it is somebody else who chooses the event.
    """
    send: Send[...] = getattr(producer, definition.attribute)
    return send.without_warning() if isinstance(send, DeprecatedSend) else send
