"""What the archive notes of a payload that it would have copied, and cannot."""

from __future__ import annotations

from event_backbone.errors import (
    PayloadErased,
    PayloadForbidden,
    PayloadGone,
    StorageError,
    StorageUnavailable,
)
from event_backbone.wire.archived_event import Missing

INLINE = ""
"""Stands for the storage of a payload that was in the entry itself."""


def missing_of(error: StorageError) -> Missing:
    """Return whether a payload was erased or is gone.

    Raises StorageUnavailable when it may be there later. So it may if it is forbidden: an archiver has the permission
    to list the bucket, and so would be told that it is missing.
    """
    if isinstance(error, StorageUnavailable):
        raise error
    if isinstance(error, PayloadForbidden):
        raise StorageUnavailable(str(error)) from error
    return "erased" if isinstance(error, PayloadErased) else "gone"


def error_of(missing: Missing, event: object) -> StorageError:
    """Return the error that stands for such a payload when the event is read from the archive."""
    if missing == "erased":
        return PayloadErased(f"The payload of event {event} was erased.")
    return PayloadGone(f"The payload of event {event} was gone when it was archived.")
