"""Whether the web API is alive, and whether it can do its work."""

from datetime import timedelta
from typing import Any, cast

from fastapi import APIRouter, Request, Response, status

from event_backbone.backbone import Backbone
from event_backbone.web.readiness import why_not_ready
from event_backbone.web.schemas import HealthResponse
from event_backbone.worker import Worker

_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": HealthResponse, "description": "Not ready, and why."}}


def health_routes(*, timeout: timedelta = timedelta(seconds=2)) -> APIRouter:
    """Make ``GET /health/live`` and ``GET /health/ready``, open to everyone.

    Live answers 200 while the process serves requests. Ready answers 200 when Redis and the payload storage of
    ``app.state.backbone`` answer within ``timeout``, and 503 with a sentence otherwise. Where a worker runs beside the
    API, as ``app.state.worker``, live also needs it to be alive, and ready needs it to read events.
    """
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live", responses=_UNAVAILABLE, response_model_exclude_none=True)
    async def live(request: Request, response: Response) -> HealthResponse:
        """Return whether the process is alive."""
        worker = _worker(request)
        return _respond(response, None if worker is None or worker.alive else "The worker has ended.")

    @router.get("/ready", responses=_UNAVAILABLE, response_model_exclude_none=True)
    async def ready(request: Request, response: Response) -> HealthResponse:
        """Return whether Redis and the payload storage answer."""
        worker = _worker(request)
        if worker is not None and not worker.ready:
            return _respond(response, "The worker does not read events at the moment.")
        return _respond(response, await why_not_ready(cast("Backbone", request.app.state.backbone), timeout))

    return router


def _worker(request: Request) -> Worker | None:
    return cast("Worker | None", getattr(request.app.state, "worker", None))


def _respond(response: Response, problem: str | None) -> HealthResponse:
    if problem is None:
        return HealthResponse(status="ok")
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return HealthResponse(status="unavailable", detail=problem)
