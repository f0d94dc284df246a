"""Whether the web API lives, and whether it can do its work."""

from datetime import timedelta
from typing import Any, cast

from fastapi import APIRouter, Request, Response, status

from event_backbone.backbone import Backbone
from event_backbone.subscription import Subscription
from event_backbone.web.readiness import why_not_ready
from event_backbone.web.schemas import HealthAnswer

_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": HealthAnswer, "description": "Not ready, and why."}}


def health_routes(*, timeout: timedelta = timedelta(seconds=2)) -> APIRouter:
    """Make ``GET /health/live`` and ``GET /health/ready``, open to everyone.

    Live answers 200 while the process serves requests. Ready answers 200 when Redis and the payload storage of
    ``app.state.backbone`` answer within ``timeout``, and 503 with a sentence otherwise. Where a worker runs beside the
    API, as ``app.state.subscription``, both also ask whether it lives, or reads.
    """
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live", responses=_UNAVAILABLE, response_model_exclude_none=True)
    async def live(request: Request, response: Response) -> HealthAnswer:
        """Tell whether the process lives."""
        subscription = _subscription(request)
        return _answer(response, None if subscription is None or subscription.alive else "The worker has ended.")

    @router.get("/ready", responses=_UNAVAILABLE, response_model_exclude_none=True)
    async def ready(request: Request, response: Response) -> HealthAnswer:
        """Tell whether Redis and the payload storage answer."""
        subscription = _subscription(request)
        if subscription is not None and not subscription.ready:
            return _answer(response, "The worker does not read events at the moment.")
        return _answer(response, await why_not_ready(cast("Backbone", request.app.state.backbone), timeout))

    return router


def _subscription(request: Request) -> Subscription | None:
    return cast("Subscription | None", getattr(request.app.state, "subscription", None))


def _answer(response: Response, problem: str | None) -> HealthAnswer:
    if problem is None:
        return HealthAnswer(status="ok")
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return HealthAnswer(status="unavailable", detail=problem)
