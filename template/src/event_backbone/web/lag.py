"""How far consumer groups are behind over HTTP: for autoscalers, and for people."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from event_backbone.backbone import Backbone
from event_backbone.web.lag_reading import read_lag
from event_backbone.web.openapi import UNAVAILABLE, Responses, error_response
from event_backbone.web.routes import allow_everyone
from event_backbone.web.schemas import ErrorResponse, LagResponse
from event_backbone.web.validation import validated_route

_MOST_GROUPS = 100
_GROUP_HELP = "Only this group, which need not exist yet; may be repeated. Without it, all groups that exist."
_ERRORS: Responses = {
    **error_response(422, "The name of a group is empty, or there are too many."),
    503: {**UNAVAILABLE, "description": "Redis does not answer.", "model": ErrorResponse},
}


def lag_routes(
    uri: str | Sequence[str],
    *,
    authorize: Callable[..., object] = allow_everyone,
    timeout: timedelta = timedelta(seconds=2),
) -> APIRouter:
    """Make ``GET /lag``: how far the groups of these streams of ``app.state.backbone`` are behind.

    ``backlog``, the sum over the groups, is above 0 whenever a worker has something to do: an autoscaler can go by it,
    down to no worker at all. With ``?group=``, which may be repeated, only these groups count; one that does not exist
    yet has everything unread, so that its first worker is started, too. Answers 503 with a sentence when Redis does not
    answer within ``timeout``.

    Args:
        uri: names the stream, or several.
        authorize: a FastAPI dependency that guards the route. The numbers tell how busy a system is, and each request
            asks Redis, so give it the one that guards events, or a separate one for the autoscaler.
        timeout: how long Redis may take.
    """
    uris = [uri] if isinstance(uri, str) else list(uri)
    router = APIRouter(tags=["lag"], dependencies=[Depends(authorize)], route_class=validated_route())

    @router.get("/lag", operation_id="get_lag", responses=_ERRORS, summary="How far groups are behind")
    async def lag(
        request: Request,
        group: Annotated[
            list[Annotated[str, Field(min_length=1)]] | None, Query(max_length=_MOST_GROUPS, description=_GROUP_HELP)
        ] = None,
    ) -> LagResponse:
        """Return how many events each group has unread, pending and parked, since when, and their sum."""
        backbone = cast("Backbone", request.app.state.backbone)
        return await read_lag(backbone, dict.fromkeys(uris, group or ()), timeout)

    return router
