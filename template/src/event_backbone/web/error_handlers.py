"""Errors of the backbone as HTTP answers: a status, and one sentence in FastAPI's own form."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from event_backbone.errors import OutcomeUnknown
from event_backbone.web.error_texts import TOLD, WORDED

_RETRY_AFTER = {"Retry-After": "1"}
_OUTCOME_UNKNOWN = (
    "The event may or may not have been sent; repeating the request with the same Idempotency-Key is safe, "
    "without one it may send the event twice."
)

_log = logging.getLogger("event_backbone")

Handler = Callable[[Request, Exception], Awaitable[JSONResponse]]


def install_error_answers(app: FastAPI) -> None:
    """Let the application answer every error of the backbone with a status and one sentence, without a traceback.

    400, 404, 409, 410 and 422 are the caller's to mend; 503 comes with ``Retry-After`` and is worth a repetition.
    """
    for told, code in TOLD.items():
        app.add_exception_handler(told, _tell(code))
    for worded, (code, sentence) in WORDED.items():
        app.add_exception_handler(worded, _word(code, sentence))
    app.add_exception_handler(OutcomeUnknown, _tell_outcome_unknown)


def _tell(code: HTTPStatus) -> Handler:
    async def answer(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, code)

    return answer


def _word(code: HTTPStatus, sentence: str) -> Handler:
    async def answer(request: Request, error: Exception) -> JSONResponse:
        _note(request, code, error)
        return JSONResponse(
            {"detail": sentence}, code, _RETRY_AFTER if code == HTTPStatus.SERVICE_UNAVAILABLE else None
        )

    return answer


async def _tell_outcome_unknown(request: Request, error: Exception) -> JSONResponse:
    _note(request, HTTPStatus.SERVICE_UNAVAILABLE, error)
    body = {"detail": _OUTCOME_UNKNOWN, "event_id": str(cast("OutcomeUnknown", error).event_id)}
    return JSONResponse(body, HTTPStatus.SERVICE_UNAVAILABLE, _RETRY_AFTER)


def _note(request: Request, code: HTTPStatus, error: Exception) -> None:
    _log.warning("%s %s is answered %d: %s", request.method, request.url.path, code, error)
