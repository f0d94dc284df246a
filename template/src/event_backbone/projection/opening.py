"""Opens what projects the events of one stream, wired together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from event_backbone.contract import Contract
from event_backbone.event_loading import EventLoading
from event_backbone.policy import RetryPolicy
from event_backbone.projection.following import Following
from event_backbone.projection.projection import Projection
from event_backbone.projection.projector import Projector
from event_backbone.projection.store import ProjectionStore
from event_backbone.storage import Storage, StorageScope
from event_backbone.stream.base import Stream

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads

T = TypeVar("T")


def open_projector(  # noqa: PLR0917 - all that reads come from the backbone, in one order
    projection: Projection[Contract, T],
    store: ProjectionStore[T],
    stream: Stream,
    storages: Mapping[str, Storage],
    scope: StorageScope,
    cold: ColdReads | None,
    *,
    rebuild: bool,
    allow_gaps: bool,
    retry: RetryPolicy | None,
    drain: timedelta,
) -> Projector:
    """Return a projector of a stream and, by ``cold``, its archive; ``Rereading.projector`` describes the options."""
    loading = EventLoading(stream, storages, scope, cold)
    policy = RetryPolicy() if retry is None else retry
    following = Following(
        projection, store, stream, loading, cold, retry=policy, rebuild=rebuild, allow_gaps=allow_gaps
    )
    return Projector(following, name=projection.name, uri=scope.stream.uri, drain=drain)
