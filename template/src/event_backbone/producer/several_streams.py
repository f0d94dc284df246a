"""One produce call to several streams: the same event, under one event id, in each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from event_backbone.contract import EventDefinition, SendOptions
from event_backbone.errors import OutcomeUnknown, PartlySent
from event_backbone.model import EventKey, new_event_id
from event_backbone.producer.producer import Producer


class SeveralStreams:
    """Sends each event to all its streams at the same time, and tells which have it when not all do.

    Implements ``contract.send.Sender``. Each stream has its own payload, as each has its own retention.
    """

    def __init__(self, producers: Mapping[str, Producer]) -> None:
        """Send by these producers, by the URIs of their streams."""
        self._producers = producers

    async def send(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
    ) -> EventKey:
        """Send one event to each stream, and return its key in the first one."""
        keys = await self.send_to_each(definition, args, kwargs, options)
        return next(iter(keys.values()))

    async def send_to_each(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
    ) -> dict[str, EventKey]:
        """Send one event to each stream, and return its keys by their URIs."""
        if options.once is not None:
            return await self._send_once(definition, args, kwargs, options)
        event_id = options.event_id or new_event_id()
        identified = replace(options, event_id=event_id)
        sends = [each.send(definition, args, kwargs, identified) for each in self._producers.values()]
        return _keys(event_id, self._producers, await asyncio.gather(*sends, return_exceptions=True))

    async def _send_once(
        self,
        definition: EventDefinition,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: SendOptions,
    ) -> dict[str, EventKey]:
        """Send to the first stream first: the event id that the group keeps for it is then used for the others."""
        first, *others = self._producers.values()
        event_id, key = await first.send_once(definition, args, kwargs, options)
        sends = [each.send_once(definition, args, kwargs, options, event_id=event_id) for each in others]
        answers = await asyncio.gather(*sends, return_exceptions=True)
        keys = [each if isinstance(each, BaseException) else each[1] for each in answers]
        return _keys(event_id, self._producers, [key, *keys])


def _keys(
    event_id: UUID, producers: Mapping[str, Producer], answers: Sequence[EventKey | BaseException]
) -> dict[str, EventKey]:
    """Return the keys by URI; raise PartlySent unless all have the event, or the first error if surely none has."""
    sent: dict[str, EventKey] = {}
    failed: dict[str, Exception] = {}
    for uri, answer in zip(producers, answers, strict=True):
        if isinstance(answer, EventKey):
            sent[uri] = answer
        elif isinstance(answer, Exception):
            failed[uri] = answer
        else:
            raise answer
    if not failed:
        return sent
    cause = next(iter(failed.values()))
    if not sent and not any(isinstance(each, OutcomeUnknown) for each in failed.values()):
        raise cause
    raise PartlySent(event_id, tuple(sent), failed) from cause
