"""Every error this package raises.

The tree, from the root down::

    BackboneError
    |-- ConfigurationError          settings, names, a missing extra: nothing has been started
    |-- ContractError               a contract that cannot work, found when its class is made or checked
    |   |-- ArgumentsInvalid        a call that does not fit the event's signature; nothing was sent
    |   |-- DecodeError             a stored event that does not fit the contract; never solved by waiting
    |   |   |-- EntryUnreadable     the stream entry is not one of ours, or of a later wire format
    |   |   |-- UnknownEvent        the contract has no event of that name
    |   |   `-- UnknownVersion      the contract has the event, but no way from that version
    |-- StorageError                a payload could not be saved or loaded
    |   |-- StorageUnavailable      retryable: the storage does not answer
    |   |-- PayloadGone             the payload is missing, or has expired
    |   |   `-- PayloadForbidden    it may not be read, or is missing: S3 says no more
    |   |-- PayloadErased           the payload was erased on purpose
    |   `-- PayloadConflict         another payload is already saved under this event id
    |-- StreamError                 the stream could not be read or written
    |   |-- StreamUnavailable       retryable: Redis does not answer, or not now
    |   |-- GroupMissing            retryable: the consumer group has vanished with its stream
    |   |-- EventNotFound           no entry has this event key
    |   |-- EventIdExpired          the event id is older than the window in which twins are recognised
    |   |-- EventIdAhead            the event id's time lies further in the future than that window
    |   `-- LeaseLost               the entry belongs to another consumer by now
    |-- NotSent                     the event was not sent; producing it again is safe
    |   `-- BackboneClosed          the backbone is closed, or closing
    |-- OutcomeUnknown              the event may or may not be in the stream; its event id tells
    `-- HandlerSignal               raised by a handler to say what happens next
        |-- Retry                   try again after a while
        `-- Reject                  never try again: to the dead letters

Errors of redis-py, boto3, obstore and pydantic are translated where they arise, with the original as ``__cause__``.
No message holds payload bytes or a credential.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class BackboneError(Exception):
    """The root of every error of this package.

    ``retryable`` tells whether the same call may succeed later without anything being changed.
    """

    retryable: bool = False


class ConfigurationError(BackboneError):
    """A setting, a name or an installation is wrong; the text says what would be right."""


class ContractError(BackboneError):
    """A contract cannot work as it is written; the text names the event and the argument."""


class ArgumentsInvalid(ContractError):
    """The arguments of a produce call do not fit the event's signature. Nothing was sent."""


class DecodeError(ContractError):
    """A stored event does not fit the contract. The text names event and argument, never the value."""


class EntryUnreadable(DecodeError):
    """The stream entry was not written in a wire format that this version knows."""


class UnknownEvent(DecodeError):
    """The contract has no event of this name."""


class UnknownVersion(DecodeError):
    """The contract has an event of this name, but neither this version nor upcasters that lead from it."""


class StorageError(BackboneError):
    """A payload could not be saved or loaded."""


class StorageUnavailable(StorageError):
    """The storage does not answer, or refuses for now. Waiting may help."""

    retryable = True


class PayloadGone(StorageError):
    """The payload is missing, or has expired."""


class PayloadForbidden(PayloadGone):
    """The storage refuses to hand out the payload.

    S3 answers so for an object that is missing when the bucket may not be listed, and for one that may not be read,
    be it for a mistake of a minute. So a subscription tries again as after a failure of the handler, and only then
    gives the event up.
    """


class PayloadErased(StorageError):
    """The payload was erased on purpose; a tombstone stands in its place."""


class PayloadConflict(StorageError):
    """Another payload is already saved under this event id, so this one was not."""


class StreamError(BackboneError):
    """The stream could not be read or written."""


class StreamUnavailable(StreamError):
    """Redis does not answer, or refuses for now (loading, failing over, out of memory). Waiting may help."""

    retryable = True


class GroupMissing(StreamError):
    """The consumer group does not exist (any more). It is made anew, from the beginning of the stream."""

    retryable = True


class EventNotFound(StreamError):
    """The stream has no entry with this event key."""


class EventIdExpired(StreamError):
    """The event id is older than the deduplication window, so a twin could not be recognised. Nothing was sent."""


class EventIdAhead(StreamError):
    """The event id's time is ahead of the server's clock by more than the deduplication window. Nothing was sent."""


class LeaseLost(StreamError):
    """The entry was taken over by another consumer; what this one does with it no longer counts."""


class NotSent(BackboneError):
    """The event was not sent. Producing it again is safe."""


class BackboneClosed(NotSent):
    """The backbone is closed, or closing, and takes no new events."""


class OutcomeUnknown(BackboneError):
    """No answer in time: the event may or may not be in the stream.

    Producing again with ``.using(event_id=error.event_id)`` is safe: it makes one entry, whatever happened before.
    """

    def __init__(self, event_id: UUID, reason: str = "There was no answer in time.") -> None:
        """Keep the id under which the event may stand in the stream; ``reason`` is a sentence of its own."""
        super().__init__(f"{reason} Event {event_id} may be sent or not; produce it again with .using(event_id=...).")
        self.event_id = event_id


class HandlerSignal(BackboneError):
    """Raised by a handler to decide itself what happens to the event."""


class Retry(HandlerSignal):
    """Deliver the event again, after ``after`` or, when None, after the retry policy's own delay.

    It counts as an attempt: after ``max_attempts`` the event goes to the dead letters.
    """

    def __init__(self, after: timedelta | None = None) -> None:
        """Ask for another attempt no sooner than ``after`` from now."""
        super().__init__("try again" if after is None else f"try again after {after}")
        self.after = after


class Reject(HandlerSignal):
    """Never deliver the event again: move it to the group's dead letters with this reason."""

    def __init__(self, reason: str) -> None:
        """Give the reason that the dead letter will carry."""
        super().__init__(reason)
        self.reason = reason
