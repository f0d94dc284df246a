"""What a client may read of each error: a status, and one sentence that names no server and no setting."""

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
    PayloadConflict,
    PayloadErased,
    PayloadGone,
    StorageUnavailable,
    StreamUnavailable,
)

_STREAM_AWAY = (HTTPStatus.SERVICE_UNAVAILABLE, "The event stream does not answer at the moment; try again.")

TOLD: Mapping[type[BackboneError], HTTPStatus] = {
    ArgumentsInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    EventNotFound: HTTPStatus.NOT_FOUND,
}
"""What only the caller can mend is told in the error's own words."""

WORDED: Mapping[type[BackboneError], tuple[HTTPStatus, str]] = {
    StreamUnavailable: _STREAM_AWAY,
    GroupMissing: _STREAM_AWAY,
    StorageUnavailable: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The payload storage does not answer at the moment; try again.",
    ),
    NotSent: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The event was not sent, because the service is stopping or cannot reach its servers; try again.",
    ),
    EventIdExpired: (
        HTTPStatus.CONFLICT,
        "This Idempotency-Key is too old for its event to be sent again; use a new one.",
    ),
    PayloadConflict: (
        HTTPStatus.CONFLICT,
        "Another body was already saved under this Idempotency-Key; use a new one.",
    ),
    PayloadGone: (HTTPStatus.GONE, "The payload of this event is missing or has expired."),
    PayloadErased: (HTTPStatus.GONE, "The payload of this event was erased."),
    EntryUnreadable: (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "This event was written in a form that the service cannot read; its log says more.",
    ),
    ContractError: (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "This event does not fit the contract of the service; its log says more.",
    ),
    ConfigurationError: (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The service is not configured correctly; its log says more.",
    ),
    BackboneError: (HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed; its log says more."),
}
"""What concerns the service is told in these words; the log has the error's own."""


def sentence_of(error: BackboneError) -> str:
    """Return the sentence that a client may read about this error."""
    for kind in type(error).__mro__:
        if kind in TOLD:
            return str(error)
        if kind in WORDED:
            return WORDED[kind][1]
    return WORDED[BackboneError][1]
