"""An application that cannot start says why in one sentence, not in a traceback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from event_backbone.user_messages import user_message

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class StartupErrors:
    """ASGI middleware: an error of settings or servers on startup is one sentence in the server's log.

    The server then exits, as after any failed startup. A defect of the program keeps its traceback.

    Attributes:
        problem: why the application did not start.
    """

    def __init__(self, app: Application) -> None:
        """Wrap an application; ``app.add_middleware(StartupErrors)`` does it, too."""
        self._app = app
        self.problem: str | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass everything on, except the traceback of a failed startup."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def send_later(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        defect = False
        try:
            await self._app(scope, receive, send_later)
        except Exception as error:
            text = user_message(error)
            if text is None or not failed:
                defect = True
                raise
            failed[:] = [{**failed[0], "message": text}]
        finally:
            for message in failed:
                self.problem = (
                    "The application failed to start; its error is in the log." if defect else message["message"]
                )
                await send(message)
