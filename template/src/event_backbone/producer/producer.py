"""One produce call: from arguments to event key."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic_core import from_json

from event_backbone import telemetry
from event_backbone.contract import EventDefinition, SendOptions
from event_backbone.errors import ConfigurationError, NotSent, OnceInvalid
from event_backbone.interceptors import Outgoing, ProduceInterceptor
from event_backbone.model import (
    EventKey,
    FollowUp,
    NewMetadata,
    Payload,
    PayloadReference,
    event_id_time,
    new_event_id_and_text,
    payload_size_bytes,
)
from event_backbone.model.correlation import current_hold_back, lineage
from event_backbone.producer.batching import Batcher
from event_backbone.producer.once import FindEvent, OnceEntry, send_once
from event_backbone.spans import NOT_TRACED, EventSpan, ProduceSpans
from event_backbone.storage import Storage, StorageScope
from event_backbone.stream.values import NOT_INLINE, NewEntry
from event_backbone.wire import ONCE_HEADER, MetadataMembers, Record, write_metadata, write_references

_NANOSECONDS_IN_MICROSECOND = 1000


class Producer:
    """Sends the events of one stream.

    The payload is saved before its entry is appended: after a crash in between, there may be a payload that no entry
    refers to; an entry never refers to a payload that was not saved. With Redis Hash both are one atomic step.

    One call makes one entry, however many replies were lost, and so do several calls with one event id. Calls that
    wait at the same time share round trips; awaited one after the other, their events keep their order. A call ends
    within ``timeout``, with a key or an error.
    """

    def __init__(
        self,
        batcher: Batcher,
        storage: Storage,
        scope: StorageScope,
        *,
        interceptors: Sequence[ProduceInterceptor] = (),
        timeout: timedelta = timedelta(seconds=10),
        find: FindEvent | None = None,
    ) -> None:
        """Send with ``batcher``, with payloads in ``storage``; ``find`` finds events that may have left the stream."""
        self._batcher = batcher
        self._capacity = batcher.capacity
        self._shared_timeout = batcher.timeout
        self._storage = storage
        self._scope = scope
        self._interceptors = tuple(interceptors)
        self._timeout = timeout
        self._find = find or batcher.stream.find
        self._timeout_seconds = timeout.total_seconds()
        self._write_plan = storage.write_plan(scope)
        # The same for every event, since the key is the event id.
        self._plan_references = write_references([PayloadReference(storage.name, "id", "id")])
        self._attributes: dict[EventDefinition, telemetry.Attributes] = {}
        self._spans = ProduceSpans(scope.stream.key)

    def send(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
    ) -> Coroutine[Any, Any, EventKey]:
        """Encode, save and append one event, and return its key; ``Sender`` has the guarantees."""
        if options.once is None:
            return self._send(definition, args, kwargs, options)
        return self._key_of_once(definition, args, kwargs, options)

    async def send_to_each(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
    ) -> dict[str, EventKey]:
        """Send one event, and return its key by the URI of the stream."""
        return {self._scope.stream.uri: await self.send(definition, args, kwargs, options)}

    async def send_once(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
        *,
        event_id: UUID | None = None,
    ) -> tuple[UUID, EventKey]:
        """Send an event unless an earlier attempt at the event being handled has; return its id and key.

        ``options`` have the label. An event that no earlier attempt has sent gets ``event_id``, if that is given.
        """
        payload = definition.codec.encode(args, kwargs)
        self._batcher.running_loop()
        follow_up = FollowUp(self._scope.stream.uri, definition.name, options.once or "")

        async def send(once: OnceEntry) -> EventKey:
            identified = replace(options, event_id=once.event_id)
            return await self._send(definition, args, kwargs, identified, payload=payload, once=once)

        return await send_once(follow_up, self._find, self._timeout, send, event_id)

    async def _key_of_once(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
    ) -> EventKey:
        _, key = await self.send_once(definition, args, kwargs, options)
        return key

    async def _send(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
        *,
        payload: Payload | None = None,
        once: OnceEntry | None = None,
    ) -> EventKey:
        """Encode the arguments unless that is done, save and append the event, and return its key."""
        if payload is None:
            payload = definition.codec.encode(args, kwargs)
        loop = self._batcher.running_loop()
        start = loop.time()
        deadline = start + self._timeout_seconds if once is None else once.deadline
        attributes = self._attributes.get(definition) or self._attributes_of(definition)
        try:
            span = self._spans.producing(definition.name)
            if span is NOT_TRACED:  # not even entered: fast path, see decision 0005
                key = await self._send_within(
                    span, definition, args, kwargs, options, payload=payload, deadline=deadline, once=once
                )
            else:
                with span:
                    key = await self._send_within(
                        span, definition, args, kwargs, options, payload=payload, deadline=deadline, once=once
                    )
                    span.appended(key)
        except Exception as error:
            telemetry.produce_failed.add(1, {**attributes, "error": type(error).__qualname__})
            raise
        telemetry.produced.add(1, attributes)
        telemetry.produce_duration.record(loop.time() - start, attributes)
        return key

    def _send_within(
        self,
        span: EventSpan,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
        *,
        payload: Payload,
        deadline: float,
        once: OnceEntry | None,
    ) -> Coroutine[Any, Any, EventKey]:
        headers = span.headers if once is None or not once.header else {**span.headers, ONCE_HEADER: once.header}
        metadata = _metadata(definition, payload, options, headers)
        span.identify(metadata.id_text, metadata.correlation_id)
        if not self._interceptors:
            return self._save_and_append(metadata, payload, deadline, once)
        event = Outgoing(metadata.to_metadata(self._scope.stream), definition.codec.arguments(args, kwargs))
        return self._intercept(definition, event, payload, deadline, once)

    async def _intercept(
        self,
        definition: EventDefinition,
        original: Outgoing,
        payload: Payload,
        deadline: float,
        once: OnceEntry | None,
    ) -> EventKey:
        """Pass the event through the interceptors, the first one outermost; encode again only changed arguments."""

        async def call(event: Outgoing, position: int) -> EventKey:
            if position < len(self._interceptors):
                return await self._interceptors[position](event, lambda inner: call(inner, position + 1))
            _refuse_changes(original.metadata, event.metadata)
            if once is not None and event.metadata.event_id != once.event_id:
                raise OnceInvalid("An interceptor must not change the event id of an event that is produced once.")
            unchanged = event.arguments is original.arguments
            encoded = payload if unchanged else definition.codec.encode((), dict(event.arguments))
            return await self._save_and_append(MetadataMembers.of_metadata(event.metadata), encoded, deadline, once)

        return await call(original, 0)

    async def _save_and_append(
        self, metadata: MetadataMembers, payload: Payload, deadline: float, once: OnceEntry | None
    ) -> EventKey:
        """Save the payload and append the entry, or both in one step, once the stream has capacity for them.

        What the handlers of a debugged event produce is held back instead.
        """
        if (hold_back := current_hold_back()) is not None:
            return hold_back(self._scope.stream.uri, metadata.event, payload)
        size_bytes = payload_size_bytes(payload)
        if not self._capacity.try_acquire(size_bytes):
            await self._capacity.acquire(size_bytes, deadline)
        try:
            inline: Payload = NOT_INLINE
            if self._write_plan is None:
                payload_id = metadata.id_text if once is None else str(once.payload_id)
                record = Record(metadata, payload, payload_id, size_bytes)
                try:
                    with self._shared_timeout.at(deadline):
                        saved = await self._storage.save(self._scope, record)
                except TimeoutError as error:
                    raise NotSent(f"Storage {self._storage.name} did not save the payload in time.") from error
                references, writes = write_references(saved.references), saved.writes
            elif write := self._write_plan(metadata.id_text, payload):
                references, writes = self._plan_references, (write,)
            else:
                references, writes, inline = "[]", (), payload
            encoded = write_metadata(metadata, references, size_bytes)
            entry = NewEntry(metadata.event_id, encoded, writes, inline)
            entry_bytes = len(encoded) + size_bytes if self._write_plan or writes else len(encoded)
            return await self._batcher.append(entry, deadline, entry_bytes)
        finally:
            self._capacity.release(size_bytes)

    def _attributes_of(self, definition: EventDefinition) -> telemetry.Attributes:
        attributes = self._attributes[definition] = {"uri": self._scope.stream.uri, "event": definition.name}
        return attributes


def _refuse_changes(original: NewMetadata, changed: NewMetadata) -> None:
    """Refuse what an interceptor may not change; no event goes to another stream, or under another name, unnoticed."""
    event_id_time(changed.event_id)  # refuses what is not a UUIDv7
    for name in ("uri", "environment", "event", "version"):
        if getattr(changed, name) != getattr(original, name):
            raise ConfigurationError(
                f"A produce interceptor changed the {name} of event {original.event!r};"
                " uri, environment, event and version belong to the producer."
            )


def _metadata(
    definition: EventDefinition, payload: Payload, options: SendOptions, headers: Mapping[str, str]
) -> MetadataMembers:
    event_id = options.event_id
    if event_id is None:
        event_id, id_text = new_event_id_and_text()
    else:
        event_id_time(event_id)  # refuses what is not a UUIDv7
        id_text = str(event_id)
    correlation_id, causation_id = lineage(options.correlation_id, options.causation_id)
    return MetadataMembers(
        event_id,
        id_text,
        definition.name,
        definition.version,
        time.time_ns() // _NANOSECONDS_IN_MICROSECOND,
        correlation_id,
        causation_id,
        None if definition.key is None else _text_of(payload[definition.key]),
        headers,
    )


def _text_of(value: bytes) -> str:
    """Return a JSON string's text, and any other JSON value as it is written."""
    decoded: object = from_json(value)
    return decoded if isinstance(decoded, str) else value.decode()
