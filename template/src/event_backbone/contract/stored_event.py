"""An event as it is stored: its metadata, and its payload if that still exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from pydantic import JsonValue
from pydantic_core import from_json, to_jsonable_python

from event_backbone.contract.contract import Contract, events_of
from event_backbone.contract.decode import decode_event, decode_partial, definition_for
from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.event_decorator import EventOf
from event_backbone.errors import PayloadErased, StorageError, UnknownEvent, UnknownVersion
from event_backbone.model import EventKey, Metadata, PartialPayload, PartState, Payload, PayloadReference
from event_backbone.wire import payload_to_json

P = ParamSpec("P")
T = TypeVar("T")

PayloadState = Literal["present", "partial", "gone", "erased"]


@dataclass(frozen=True, slots=True)
class DecodedEvent:
    """A stored event as a contract defines it: which of its events it is, and its arguments by name.

    ``missing`` names those that are None or their default because a part of the payload is missing.
    """

    definition: EventDefinition
    arguments: Mapping[str, Any]
    missing: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The event's name on the wire."""
        return self.definition.name


@dataclass(frozen=True, slots=True)
class TypedEvent(Generic[P]):
    """A stored event that is known to be ``event``, with typed access.

    ``metadata.missing`` names the arguments that are None or their default because a part of the payload is missing.
    """

    event: EventOf[Any, P]
    metadata: Metadata
    arguments: Mapping[str, Any]

    def call(self, function: Callable[P, T], /) -> T:
        """Call a function with the event's arguments, by name, and return its result."""
        call: Callable[..., T] = function
        return call(**self.arguments)


def is_event(metadata: Metadata, event: EventOf[Any, ...]) -> bool:
    """Return whether the metadata is that of ``event``, in its version or one that upcasters turn into it."""
    try:
        return definition_for(event.contract, metadata.event, metadata.version) is event.definition
    except UnknownEvent:
        return False
    except UnknownVersion:
        wanted, later = event.definition, metadata.version + 1
        versions = [each.version for each in events_of(event.contract) if each.name == metadata.event]
        return metadata.event == wanted.name and wanted.version == min(
            [v for v in versions if v >= later], default=None
        )


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it was read from its stream or its archive, whatever its contract.

    ``references`` say where the payload is, ``segment`` in which object of the archive the event was found, if it was
    not in the stream. No text form of this object shows payload bytes.
    """

    metadata: Metadata
    content: Payload | StorageError = field(repr=False)
    references: tuple[PayloadReference, ...] = ()
    segment: str | None = None

    @property
    def key(self) -> EventKey:
        """The event's position in its stream."""
        return self.metadata.key

    @property
    def payload(self) -> PayloadState:
        """Whether the payload is present, was erased on purpose, or is gone: missing, expired or forbidden.

        It is partial if another part of it is present.
        """
        if isinstance(self.content, StorageError):
            return "erased" if isinstance(self.content, PayloadErased) else "gone"
        return "partial" if isinstance(self.content, PartialPayload) else "present"

    @property
    def has_arguments(self) -> bool:
        """Whether the payload is present, or a part of it is."""
        return not isinstance(self.content, StorageError)

    @property
    def missing_parts(self) -> dict[str, PartState]:
        """Why each part of a partial payload is missing, by the name of its storage."""
        return self.content.states() if isinstance(self.content, PartialPayload) else {}

    @property
    def arguments(self) -> dict[str, JsonValue]:
        """The arguments that are there, as JSON values, as they were written.

        Raises PayloadGone or PayloadErased if none is.
        """
        arguments: dict[str, JsonValue] = from_json(payload_to_json(self._present()))
        return arguments

    def decode(self, contract: type[Contract]) -> DecodedEvent:
        """Return the event as ``contract`` defines it, upcast if necessary.

        Raises:
            UnknownEvent, UnknownVersion, DecodeError: it is not an event of the contract, or does not fit it.
            PayloadGone, PayloadErased: there is nothing to decode, or an argument is missing that can be neither None
                nor its default.
        """
        payload = self._present()
        if isinstance(payload, PartialPayload):
            return DecodedEvent(*decode_partial(contract, self.metadata.event, self.metadata.version, payload))
        definition, arguments = decode_event(contract, self.metadata.event, self.metadata.version, payload)
        return DecodedEvent(definition, arguments)

    def is_(self, event: EventOf[Any, ...]) -> bool:
        """Return whether this is ``event``, in its version or one that upcasters turn into it. Needs no payload."""
        return is_event(self.metadata, event)

    def as_(self, event: EventOf[Any, P]) -> TypedEvent[P]:
        """Return the event, typed as ``event``; check with ``is_`` first.

        Raises:
            UnknownEvent: it is another event.
            UnknownVersion, DecodeError: it does not fit, even upcast.
            PayloadGone, PayloadErased: as ``decode`` does.
        """
        if not self.is_(event):
            wanted = event.definition
            raise UnknownEvent(
                f"Event {self.key} is {self.metadata.event!r} version {self.metadata.version},"
                f" not {wanted.name!r} version {wanted.version}."
            )
        decoded = self.decode(event.contract)
        metadata = replace(self.metadata, missing=decoded.missing) if decoded.missing else self.metadata
        return TypedEvent(event, metadata, decoded.arguments)

    def json(self, *, with_arguments: bool = True) -> dict[str, JsonValue]:
        """Return key, metadata, the state of the payload and the arguments that are there, as one JSON document.

        If the payload is partial, ``missing_parts`` says which parts are not there, and why.
        """
        found = self.metadata
        metadata: dict[str, JsonValue] = {
            "event_id": str(found.event_id),
            "event": found.event,
            "version": found.version,
            "produced_at": to_jsonable_python(found.produced_at),
            "uri": found.uri,
            "environment": found.environment,
            "correlation_id": found.correlation_id,
            "causation_id": found.causation_id,
            "partition_key": found.partition_key,
            "headers": dict(found.headers),
        }
        if found.origin is not None:
            metadata["origin"] = [{**each} for each in found.origin.as_json()]
        document: dict[str, JsonValue] = {"key": str(self.key), "metadata": metadata, "payload": self.payload}
        if self.missing_parts:
            document["missing_parts"] = dict(self.missing_parts)
        if with_arguments and self.has_arguments:
            document["arguments"] = self.arguments
        return document

    def _present(self) -> Payload:
        if isinstance(self.content, StorageError):
            raise type(self.content)(*self.content.args) from self.content
        return self.content
