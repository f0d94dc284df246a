"""What a client may read of each error: a status, and one sentence without a server or a setting.

A 404 may name the storages of an event's parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from event_backbone.errors import (
    ArgumentsInvalid,
    BackboneError,
    ConfigurationError,
    ContractError,
    EntryUnreadable,
    EventIdExpired,
    EventNotFound,
    GroupMissing,
    NotSent,
    OutcomeUnknown,
    PayloadErased,
    PayloadForbidden,
    PayloadGone,
    RequirementUnknown,
    StorageMissing,
    StorageUnavailable,
    StreamUnavailable,
)

LONGEST_IDEMPOTENCY_KEY = 255
IDEMPOTENCY_KEY_LENGTH = f"The Idempotency-Key header must have 1 to {LONGEST_IDEMPOTENCY_KEY} characters."
IDEMPOTENCY_KEY_REUSED = (
    "This Idempotency-Key was used for another event or body; repeat that request, or use a new key."
)
BODY_NOT_JSON = "Send the event's arguments as one JSON object, with Content-Type: application/json."

_STREAM_DOWN = (HTTPStatus.SERVICE_UNAVAILABLE, "The event stream does not answer at the moment; try again.")
_MISCONFIGURED = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "The service is not configured correctly; see the service's log.",
)

_OWN_TEXT: Mapping[type[BackboneError], HTTPStatus] = {
    ArgumentsInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    EventNotFound: HTTPStatus.NOT_FOUND,
}
"""What only the caller can correct is answered with the error's own text."""

_FIXED_TEXT: Mapping[type[BackboneError], tuple[HTTPStatus, str]] = {
    StreamUnavailable: _STREAM_DOWN,
    GroupMissing: _STREAM_DOWN,
    StorageUnavailable: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The payload storage does not answer at the moment; try again.",
    ),
    StorageMissing: _MISCONFIGURED,
    NotSent: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The event was not sent, because the service is stopping or cannot reach its servers; try again.",
    ),
    OutcomeUnknown: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The event may or may not have been sent; repeating the request may send it twice.",
    ),
    EventIdExpired: (HTTPStatus.CONFLICT, "The event id is too old for its event to be sent again; use a new one."),
    PayloadGone: (HTTPStatus.GONE, "The payload of this event is missing or has expired."),
    PayloadForbidden: (HTTPStatus.GONE, "The payload of this event is missing, or the service may not read it."),
    PayloadErased: (HTTPStatus.GONE, "The payload of this event was erased."),
    EntryUnreadable: (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "This event was written in a form that the service cannot read; see the service's log.",
    ),
    RequirementUnknown: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "This event was written by a later version of the service; it can be read once this one is updated.",
    ),
    ContractError: (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "This event does not fit the contract of the service; see the service's log.",
    ),
    ConfigurationError: _MISCONFIGURED,
    BackboneError: (HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed; see the service's log."),
}
"""What concerns the service is answered with these texts; the log has the error's own."""

_TEXT_WITH_IDEMPOTENCY_KEY: Mapping[type[BackboneError], str] = {
    OutcomeUnknown: (
        "The event may or may not have been sent; repeating the request with the same Idempotency-Key is safe, "
        "without one it may send the event twice."
    ),
    EventIdExpired: "This Idempotency-Key is too old for its event to be sent again; use a new one.",
}
"""What is said instead where a client can send an Idempotency-Key."""


def text_for_client(error: BackboneError, *, takes_key: bool = False) -> tuple[HTTPStatus, str]:
    """Return the status of an error, and the sentence that a client may read about it.

    ``takes_key`` says whether the request could have an Idempotency-Key.
    """
    for kind in type(error).__mro__:
        if kind in _OWN_TEXT:
            return _OWN_TEXT[kind], str(error)
        if kind in _FIXED_TEXT:
            status, text = _FIXED_TEXT[kind]
            return status, _TEXT_WITH_IDEMPOTENCY_KEY.get(kind, text) if takes_key else text
    return _FIXED_TEXT[BackboneError]


def parameter_text(kind: str, name: str) -> str:
    """Return the sentence about a parameter of a request; ``kind`` is header, cookie, query or path."""
    return f"The {kind} parameter {name!r} is missing or not valid."
