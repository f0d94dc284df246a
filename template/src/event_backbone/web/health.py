"""Whether the web API is alive, and whether it can do its work."""

from datetime import timedelta
from typing import Any, cast

from fastapi import APIRouter, Request, Response, status

from event_backbone.backbone import Backbone
from event_backbone.web.readiness import why_not_alive, why_not_ready
from event_backbone.web.schemas import HealthResponse
from event_backbone.worker import Worker

_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": HealthResponse, "description": "Not ready, and why."}}


def health_routes(*, timeout: timedelta = timedelta(seconds=2)) -> APIRouter:
    """Make ``GET /health/live`` and ``GET /health/ready``, open to everyone.

    Live answers 200 while the process serves requests. Ready answers 200 when Redis and the payload storage of
    ``app.state.backbone`` answer within ``timeout``, and 503 with a sentence otherwise. Where a worker runs beside the
    API, as ``app.state.worker``, live also needs it to be alive, and ready needs it to read events; an archive that
    lags leaves the API ready.
    """
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live", operation_id="get_liveness", responses=_UNAVAILABLE, response_model_exclude_none=True)
    async def live(request: Request, response: Response) -> HealthResponse:
        """Return whether the process is alive."""
        return _respond(response, why_not_alive(_worker(request)))

    @router.get("/ready", operation_id="get_readiness", responses=_UNAVAILABLE, response_model_exclude_none=True)
    async def ready(request: Request, response: Response) -> HealthResponse:
        """Return whether Redis and the payload storage answer."""
        backbone = cast("Backbone", request.app.state.backbone)
        return _respond(response, await why_not_ready(backbone, timeout, _worker(request)))

    return router


def _worker(request: Request) -> Worker | None:
    return cast("Worker | None", getattr(request.app.state, "worker", None))


def _respond(response: Response, problem: str | None) -> HealthResponse:
    if problem is None:
        return HealthResponse(status="ok")
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return HealthResponse(status="unavailable", detail=problem)
