"""Produce one event: what an event method is on a producer."""

from __future__ import annotations

import warnings
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol
from uuid import UUID

from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.registry import HasEvents
from event_backbone.errors import OnceInvalid
from event_backbone.model import EventKey, check_label

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The caller's own identity for an event; None means that the producer chooses.

    ``once`` is the label under which the event being handled produces it once.
    """

    event_id: UUID | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    once: str | None = None


class Sender(Protocol):
    """What a typed producer sends its events through."""

    def send(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
    ) -> Coroutine[Any, Any, EventKey]:
        """Encode, save and append one event, and return its key.

        The arguments are validated before the first wait. One call makes one entry, however many replies are lost; with
        an event id from the caller, or ``once``, so do many calls.

        Raises:
            ArgumentsInvalid: the arguments do not fit; nothing was sent.
            NotSent: nothing was sent; calling again is safe.
            OutcomeUnknown: the event may or may not be in the stream; calling again with its event id is safe.
            PartlySent: of several streams, some have the event; calling again with its event id is safe.
            OnceInvalid: ``once`` is used where it cannot work; nothing was sent.
            LeaseLost: with ``once``, the event being handled is finished, or another consumer has it; nothing was sent.
        """
        ...

    def send_to_each(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
    ) -> Coroutine[Any, Any, dict[str, EventKey]]:
        """Do the same, and return the event's key in each stream, by its URI."""
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

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, EventKey]:
        """Return the coroutine that produces the event, and returns its key once it is in the stream.

        Of a producer of several streams it is the key in the first one, once the event is in all.
        """
        return self._sender.send(self._definition, args, kwargs, self._options)

    def to_each(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, dict[str, EventKey]]:
        """Return the coroutine that produces the event, and returns its key in each stream, by its URI."""
        return self._sender.send_to_each(self._definition, args, kwargs, self._options)

    def using(
        self,
        *,
        event_id: UUID | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        once: str | None = None,
    ) -> Send[P]:
        """Return the same with the caller's own identity; what is None stays as it is.

        ```python
        @consumer.on(Shipments.packing)
        async def packing(ctx: Context, email: str, product_id: int, time: datetime) -> None:
            await shipments.on_delivery.using(once="delivery")(email, product_id, time)
        ```

        Args:
            event_id: a UUIDv7; producing twice with one id within the deduplication window makes one entry.
            correlation_id: names the business process that the event belongs to.
            causation_id: names what caused the event.
            once: for a handler. However often the event being handled is attempted, also after a crash or a redrive,
                it produces this event to this URI once under this label; later attempts get the key of that one,
                whatever their arguments. A group that handles the event again from the start (after a seek, a replay,
                or once the group was deleted) produces it again. A label is 1 to 100 characters without spaces, and
                no personal data.

        Raises:
            OnceInvalid: the label is not valid, or given together with an event id.
        """
        if once is not None:
            check_label(once)
        options = SendOptions(
            event_id or self._options.event_id,
            correlation_id or self._options.correlation_id,
            causation_id or self._options.causation_id,
            once or self._options.once,
        )
        if options.once is not None and options.event_id is not None:
            raise OnceInvalid("Give either once= or event_id=, not both: with once= the group chooses the event id.")
        return type(self)(self._sender, self._definition, options)

    def __repr__(self) -> str:
        return f"<produce {self._definition.contract}.{self._definition.attribute}>"


class DeprecatedSend(Send[P]):
    """Produces an event that is deprecated, and warns the caller."""

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, EventKey]:
        """Warn, naming the caller's line, and return the coroutine that produces the event."""
        warnings.warn(self._definition.deprecation, DeprecationWarning, stacklevel=2)
        return super().__call__(*args, **kwargs)

    def to_each(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, dict[str, EventKey]]:
        """Warn likewise, and return the coroutine that produces the event."""
        warnings.warn(self._definition.deprecation, DeprecationWarning, stacklevel=2)
        return super().to_each(*args, **kwargs)

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
