"""Errors as HTTP responses: a status, and ``{"detail": "one sentence"}``."""

import logging
from functools import cache
from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from event_backbone.codec.explanation import field_names
from event_backbone.errors import BackboneError, OutcomeUnknown
from event_backbone.web.error_texts import text_for_client
from event_backbone.web.openapi import document_errors
from event_backbone.web.startup import StartupErrors
from event_backbone.web.validation import request_text

_RETRY_AFTER = {"Retry-After": "1"}

_log = logging.getLogger("event_backbone")


def install_error_handlers(app: FastAPI) -> None:
    """Let the application answer errors with a status and one sentence, without a traceback or a value.

    The body is ``{"detail": "one sentence"}``, as in FastAPI's own errors; an unknown outcome adds ``event_id``. For
    errors of the backbone, 400, 404, 409, 410 and 422 are for the caller to correct; 503 comes with ``Retry-After`` and
    can be repeated. A request that does not fit a route of the application is answered 422 in this form, too, and the
    OpenAPI document says so: FastAPI's own list would repeat what was sent. An application that cannot start, because a
    setting is missing or wrong, logs one sentence.
    """
    app.add_exception_handler(BackboneError, _respond)
    document_errors(app)

    @cache
    def declared_names() -> frozenset[str]:
        return field_names(app.openapi())

    async def refuse(request: Request, exception: Exception) -> JSONResponse:  # noqa: ARG001 - a handler takes both
        text = request_text(cast("RequestValidationError", exception), declared_names())
        return JSONResponse({"detail": text}, HTTPStatus.UNPROCESSABLE_ENTITY)

    app.add_exception_handler(RequestValidationError, refuse)
    app.add_middleware(StartupErrors)


async def _respond(request: Request, exception: Exception) -> JSONResponse:
    error = cast("BackboneError", exception)
    status, text = text_for_client(error, takes_key=getattr(request.state, "takes_idempotency_key", False))
    if text != str(error):
        _log.warning("%s %s is answered %d: %s", request.method, request.url.path, status, error)
    body = {"detail": text}
    if isinstance(error, OutcomeUnknown):
        body["event_id"] = str(error.event_id)
    return JSONResponse(body, status, _RETRY_AFTER if status == HTTPStatus.SERVICE_UNAVAILABLE else None)
