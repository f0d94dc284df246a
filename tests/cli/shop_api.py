"""The shop's web API.

SHOP_LATE lets it make its backbone when it starts, as a rendered one does, and not when it is imported; SHOP_BROKEN
lets its start fail by a defect.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from event_backbone.web import event_routes, health_routes, install_error_handlers
from tests.cli.shop import Shop, open_backbone, setting

early = None if setting("LATE", "") else open_backbone()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Keep the backbone open."""
    if setting("BROKEN", ""):
        raise LookupError("a defect")
    async with early or open_backbone() as backbone:
        app.state.backbone = backbone
        yield


app = FastAPI(lifespan=lifespan)
app.include_router(event_routes(Shop, uri="shop"))
app.include_router(health_routes())
install_error_handlers(app)
