"""How far groups are behind, as API and worker answer it: in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone.errors import StreamUnavailable
from event_backbone.web.schemas import GroupLagResponse, LagResponse

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.stream.values import GroupState


async def read_lag(backbone: Backbone, groups_by_uri: Mapping[str, Collection[str]], timeout: timedelta) -> LagResponse:
    """Return how far groups are behind: these of each URI, or all that there are where none is named.

    A group that is named and does not exist has read nothing. One round trip to Redis for each URI, all at once; raises
    StreamUnavailable, after ``timeout`` at the latest.
    """
    reading = [_read(backbone, uri, groups) for uri, groups in groups_by_uri.items()]
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            found = await asyncio.gather(*reading)
    except TimeoutError:
        seconds = timeout.total_seconds()
        raise StreamUnavailable(f"Redis did not answer for the lag within {seconds:g} seconds.") from None
    groups = [each for of_uri in found for each in of_uri]
    return LagResponse(backlog=sum(each.backlog for each in groups), groups=groups)


async def _read(backbone: Backbone, uri: str, groups: Collection[str]) -> list[GroupLagResponse]:
    states = await backbone.groups(uri, expected=groups)
    wanted = [each for each in states if not groups or each.name in groups]
    return [group_lag(uri, each) for each in sorted(wanted, key=lambda state: state.name)]


def group_lag(uri: str, state: GroupState) -> GroupLagResponse:
    """Return how far a group of a stream is behind."""
    return GroupLagResponse(
        uri=uri,
        group=state.name,
        exists=state.exists,
        backlog=state.backlog,
        unread=state.unread,
        oldest_unread_seconds=_seconds(state.oldest_unread),
        pending=state.pending,
        oldest_pending_seconds=_seconds(state.oldest_pending),
        parked=state.parked,
        due=state.due,
        dead_letters=state.dead_letters,
        consumers=state.consumers,
    )


def _seconds(age: timedelta | None) -> float | None:
    return None if age is None else age.total_seconds()
