"""Where events of one name and version go: found out once for each (fast path, see decision 0010)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from event_backbone.consumer import BatchOptions, Consumer, Handler
from event_backbone.contract import Contract, definition_for
from event_backbone.errors import UnknownEvent, UnknownVersion
from event_backbone.model import Metadata, OriginFilter, is_of_origin
from event_backbone.subscription.calls import call_of

_UNKNOWN = "unknown"


class Route(NamedTuple):
    """What is done with events of one name and version.

    ``wanted`` says whether their payload is needed: they have a handler, or may have one. ``attributes`` go with their
    metrics. ``call`` is None unless the consumer has handlers for them, ``decode`` unless the contract also has just
    this version. ``batch`` says how events come together, if they are handled in batches; ``call`` takes one of them.
    ``other_origin`` says that the subscription does not want events from there.
    """

    wanted: bool
    attributes: Mapping[str, str]
    call: Handler | None = None
    decode: Callable[[Mapping[str, bytes]], dict[str, object]] | None = None
    batch: BatchOptions | None = None
    other_origin: bool = False


class Routes:
    """The routes to the handlers of one consumer."""

    def __init__(
        self, consumer: Consumer[Contract, Any], attributes: Mapping[str, str], origin: OriginFilter = "any"
    ) -> None:
        """Route events of this origin to the handlers of ``consumer``; ``attributes`` go with every metric."""
        self._origin: OriginFilter = origin
        self._consumer = consumer
        self._attributes = {each.name: MappingProxyType({**attributes, "event": each.name}) for each in consumer.events}
        self._unknown_attributes = MappingProxyType({**attributes, "event": _UNKNOWN})
        self._routes: dict[tuple[str, int], Route] = {}

    def of(self, metadata: Metadata) -> Route:
        """Return the route of an event."""
        if self._origin != "any" and not is_of_origin(metadata.origin, self._origin):
            return Route(wanted=False, attributes=self.attributes_of(metadata.event), other_origin=True)
        identity = (metadata.event, metadata.version)
        return self._routes.get(identity) or self._find(*identity)

    def attributes_of(self, event: str) -> Mapping[str, str]:
        """Return the attributes of an event's metrics; all names that the contract does not know share one."""
        return self._attributes.get(event, self._unknown_attributes)

    def _find(self, event: str, version: int) -> Route:
        has_fallback = self._consumer.fallback_handler is not None
        try:
            definition = definition_for(self._consumer.contract, event, version)
        except (UnknownEvent, UnknownVersion):
            return Route(has_fallback, self.attributes_of(event))  # not kept: names from the wire are unbounded
        handlers, attributes = self._consumer.handlers_of(definition), self.attributes_of(definition.name)
        if handlers:
            defined = (definition.name, definition.version) == (event, version)
            decode = definition.codec.decode if defined else None
            route = Route(True, attributes, call_of(handlers), decode, self._consumer.batch_of(definition))
        else:
            route = Route(has_fallback, attributes)
        self._routes[event, version] = route
        return route
