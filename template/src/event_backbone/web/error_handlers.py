"""Errors of the backbone as HTTP responses: a status, and ``{"detail": "one sentence"}``."""

import logging
from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from event_backbone.errors import BackboneError, OutcomeUnknown
from event_backbone.web.error_texts import text_for_client

_RETRY_AFTER = {"Retry-After": "1"}

_log = logging.getLogger("event_backbone")


def install_error_handlers(app: FastAPI) -> None:
    """Let the application answer every error of the backbone with a status and one sentence, without a traceback.

    400, 404, 409, 410 and 422 are for the caller to correct; 503 comes with ``Retry-After`` and can be repeated. The
    body is ``{"detail": "one sentence"}``, as in FastAPI's own errors; an unknown outcome adds ``event_id``.
    """
    app.add_exception_handler(BackboneError, _respond)


async def _respond(request: Request, exception: Exception) -> JSONResponse:
    error = cast("BackboneError", exception)
    status, text = text_for_client(error)
    if text != str(error):
        _log.warning("%s %s is answered %d: %s", request.method, request.url.path, status, error)
    body = {"detail": text}
    if isinstance(error, OutcomeUnknown):
        body["event_id"] = str(error.event_id)
    return JSONResponse(body, status, _RETRY_AFTER if status == HTTPStatus.SERVICE_UNAVAILABLE else None)
