"""A backbone without servers, for tests of an application's own logic."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.interceptors import HandleInterceptor, ProduceInterceptor
from event_backbone.storage import MemoryStorage, Storage
from event_backbone.stream.memory import MemoryStreams

_DEDUPLICATE_FOR = timedelta(minutes=10)


def memory_backbone(
    storage: Storage | None = None,
    *,
    environment: str = "test",
    produce_interceptors: Iterable[ProduceInterceptor] = (),
    handle_interceptors: Iterable[HandleInterceptor] = (),
) -> Backbone:
    """Return a backbone whose streams are in this process's memory, with the semantics of those on Redis.

    Payloads are in memory as well unless ``storage`` says otherwise. Use it like any other backbone, inside ``async
    with``; its events are gone when it is closed, and no other process or backbone sees them.
    """
    return Backbone(
        storage=storage or MemoryStorage(),
        environment=environment,
        produce_interceptors=produce_interceptors,
        handle_interceptors=handle_interceptors,
        deduplicate_for=_DEDUPLICATE_FOR,
        _streams=MemoryStreams(deduplicate_for=_DEDUPLICATE_FOR),
    )
