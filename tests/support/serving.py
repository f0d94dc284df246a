"""A web application on an open backbone, and a client of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from event_backbone.backbone import Backbone
from event_backbone.testing.memory import memory_backbone
from event_backbone.web import health_routes, install_error_handlers


@asynccontextmanager
async def serving(app: FastAPI, backbone: Backbone | None = None) -> AsyncGenerator[AsyncClient, None]:
    """Serve the application, with health and error handlers, on this backbone or on one in memory."""
    install_error_handlers(app)
    app.include_router(health_routes(timeout=timedelta(seconds=1)))
    async with backbone or memory_backbone() as opened:
        app.state.backbone = opened
        transport = ASGITransport(app=app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test", timeout=30) as client:
            yield client
