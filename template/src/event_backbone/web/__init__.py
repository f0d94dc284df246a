"""A contract over HTTP: FastAPI routes for its events, health, and responses to its errors.

    app = FastAPI(lifespan=...)                     # keeps an open backbone at app.state.backbone
    app.include_router(event_routes(ShipmentTracking, uri="shipment-tracking", authorize=require_token))
    app.include_router(lag_routes("shipment-tracking", authorize=require_token))
    app.include_router(health_routes())
    install_error_handlers(app)

Each name is imported on first use: a worker serves its health without FastAPI.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from event_backbone.errors import ConfigurationError

if TYPE_CHECKING:
    from event_backbone.web.error_handlers import install_error_handlers
    from event_backbone.web.health import health_routes
    from event_backbone.web.lag import lag_routes
    from event_backbone.web.openapi import operation_id, project_version
    from event_backbone.web.routes import allow_everyone, event_routes
    from event_backbone.web.schemas import ErrorResponse, EventResponse, ProducedResponse
    from event_backbone.web.worker_health import serve_worker_health

__all__ = [
    "ErrorResponse",
    "EventResponse",
    "ProducedResponse",
    "allow_everyone",
    "event_routes",
    "health_routes",
    "install_error_handlers",
    "lag_routes",
    "operation_id",
    "project_version",
    "serve_worker_health",
]

_HOMES = {
    "ErrorResponse": "schemas",
    "EventResponse": "schemas",
    "ProducedResponse": "schemas",
    "allow_everyone": "routes",
    "event_routes": "routes",
    "health_routes": "health",
    "install_error_handlers": "error_handlers",
    "lag_routes": "lag",
    "operation_id": "openapi",
    "project_version": "openapi",
    "serve_worker_health": "worker_health",
}


def __getattr__(name: str) -> object:
    """Import the name; raise ConfigurationError when it needs FastAPI and that is not installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name != "serve_worker_health" and find_spec("fastapi") is None:
        raise ConfigurationError("Install FastAPI to serve events over HTTP: the Python packages fastapi and uvicorn.")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
