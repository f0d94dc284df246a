"""`serve`: run the web API."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Annotated, Any, cast

import typer

from event_backbone.cli.errors import fail, user_message
from event_backbone.cli.logs import LogLevel
from event_backbone.cli.project import project_of, required
from event_backbone.errors import ConfigurationError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    log_level: Annotated[LogLevel, typer.Option(help="The least severe level that is logged.")] = LogLevel.INFO,
) -> None:
    """Run the web API until Ctrl-C; its OpenAPI page is at /docs."""
    project = project_of(ctx)
    project.configure_logging(log_level.number)
    _serve(required(project.api), host, port)


def _serve(api: str, host: str, port: int) -> None:
    try:
        import uvicorn  # noqa: PLC0415 - only this command pays for it
    except ImportError as error:
        raise ConfigurationError("Install uvicorn to serve the web API: the Python package uvicorn.") from error
    module, _, function = api.partition(":")
    # Made here and not by uvicorn, so that a wrong setting is reported in one sentence.
    create = cast("Callable[[], Application]", getattr(import_module(module), function))
    application = _QuietStart(create())
    server = uvicorn.Server(uvicorn.Config(cast("Any", application), host=host, port=port, log_config=None))
    # After its graceful stop uvicorn raises the signal again, which would end the process before its last traces and
    # metrics are sent. With this handler it exits normally.
    signal.signal(signal.SIGTERM, _exit)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run()
    if not server.started:
        fail(application.problem or f"The web API cannot listen on {host}:{port}; choose another --port or --host.")


def _exit(number: int, frame: object) -> None:  # noqa: ARG001 - a signal handler takes both
    raise SystemExit(0)


class _QuietStart:
    """An application that keeps the reason why it could not start, and keeps the traceback out of the log."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.problem: str | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def send_without_traceback(message: Message) -> None:
            if message["type"] != "lifespan.startup.failed":
                await send(message)

        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return
        try:
            await self._application(scope, receive, send_without_traceback)
        except Exception as error:
            self.problem = user_message(error)
            if self.problem is None:
                raise
            await send({"type": "lifespan.startup.failed", "message": self.problem})
