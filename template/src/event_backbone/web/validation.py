"""Requests that do not fit: 422 with one sentence, as for every other error, instead of FastAPI's list."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, cast

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic_core import ErrorDetails

from event_backbone.codec.explanation import expectation
from event_backbone.contract import EventDefinition
from event_backbone.errors import ArgumentsInvalid
from event_backbone.web.error_texts import BODY_NOT_JSON, parameter_text


def validated_route(event: EventDefinition | None = None) -> type[APIRoute]:
    """Return a route class that answers 422 in one sentence; ``event`` is the one whose arguments are the body."""

    class ValidatedRoute(APIRoute):
        """A route whose validation errors become one sentence, which never repeats a value."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """Wrap FastAPI's handler."""
            handle = super().get_route_handler()

            async def respond(request: Request) -> Response:
                try:
                    return await handle(request)
                except RequestValidationError as error:
                    raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, await _text(error, event, request)) from None

            return respond

    return ValidatedRoute


async def _text(error: RequestValidationError, event: EventDefinition | None, request: Request) -> str:
    kind, *path = error.errors()[0]["loc"]
    if kind != "body" or event is None:
        return parameter_text(str(kind), str(path[0] if path else ""))
    try:
        event.codec.parse(await request.body())  # raises with the text that produce calls and the command line have
    except ArgumentsInvalid as refusal:
        return str(refusal)
    return BODY_NOT_JSON


def request_text(error: RequestValidationError, known: frozenset[str]) -> str:
    """Return the sentence about the first thing in a request that does not fit a route of the application.

    Only ``known`` names appear in it: others may be keys of the caller's data.
    """
    first = cast("ErrorDetails", error.errors()[0])
    kind, *path = first["loc"]
    if kind != "body":
        return parameter_text(str(kind), str(path[0] if path else ""))
    steps = [str(step) for step in path if isinstance(step, int) or step in known]
    subject = f"Field {'.'.join(steps)!r} of the body" if steps else "The body"
    match first["type"]:
        case "missing":
            return f"{subject} is missing."
        case "extra_forbidden":
            return "The body has an unknown field."
        case "json_invalid":
            return "The body is not valid JSON."
        case _:
            return f"{subject} {expectation(first)}."
