"""Every error that this package raises; ``BackboneError`` is the root and shows the tree."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID


class BackboneError(Exception):
    """The root of every error of this package.

    ``retryable`` says whether the same call may succeed later without any change.

    ```python
    try:
        await shipments.packing("ada@example.com", product_id=7, time=now)
    except OutcomeUnknown as error:
        await shipments.packing.using(event_id=error.event_id)("ada@example.com", product_id=7, time=now)
    except BackboneError as error:
        log.error("Nothing was sent: %s", error)
    ```

    The tree:

    ```text
    BackboneError
    |-- ConfigurationError          a setting or name is not valid, or an extra is not installed
    |-- ContractError               a contract cannot work; found when its class is made or checked
    |   |-- ArgumentsInvalid        a call does not fit the event's signature; nothing was sent
    |   `-- DecodeError             a stored event does not fit the contract; waiting does not help
    |       |-- EntryUnreadable     the stream entry is not in a wire format known here
    |       |-- UnknownEvent        the contract has no event of this name
    |       `-- UnknownVersion      the contract has the event, but no upcaster from this version
    |-- OnceInvalid                 once= is used where it cannot work; nothing was sent
    |-- ArchiveUnreadable           the archive is damaged, or a later version wrote it
    |-- StorageError                a payload could not be saved or loaded
    |   |-- StorageUnavailable      retryable: the storage does not answer, or not now
    |   |   `-- StorageMissing      this process was not given the storage
    |   |-- PayloadGone             the payload is missing or has expired
    |   |   |-- PayloadForbidden    the storage refuses to hand it out
    |   |   `-- PayloadNotGiven     this program was not given its storage, on purpose
    |   `-- PayloadErased           the payload was erased on purpose
    |-- StreamError                 the stream could not be read or written
    |   |-- StreamUnavailable       retryable: Redis does not answer, or not now
    |   |-- GroupMissing            retryable: the consumer group does not exist
    |   |-- RequirementUnknown      reading the event requires what this version of the package does not know
    |   |-- EventNotFound           the stream has no event with this key
    |   |-- EventsLost              Redis has lost events that the archive has; restore brings them back
    |   |-- EventIdExpired          the event id is older than the deduplication window
    |   |-- EventIdAhead            the event id's time is too far in the future
    |   `-- LeaseLost               the event is finished, or another consumer has it
    |-- ReplayStopped               a replay ended at an event that cannot be handled; it can go on
    |-- NotSent                     nothing was sent; producing it again is safe
    |   `-- BackboneClosed          the backbone is closed, or closing
    |-- OutcomeUnknown              the event may or may not be in the stream
    |   `-- PartlySent              some of several streams have the event
    |-- ProjectionFailed            an event cannot be folded into a view; the text names it and the place
    `-- HandlerDecision             raised by a handler to decide what happens to its event
        |-- Retry                   deliver it again later
        `-- Reject                  move it to the dead letters now
    ```

    Errors of redis-py, boto3, obstore and pydantic are translated where they arise, with the original as
    ``__cause__`` unless that could quote a payload. No message contains payload bytes or credentials.
    """

    retryable: bool = False


class ConfigurationError(BackboneError):
    """A setting or a name is not valid, or an extra is not installed; the text says what would be right."""


class ContractError(BackboneError):
    """A contract cannot work as written; the text names the event and the argument."""


class ArgumentsInvalid(ContractError):
    """The arguments of a produce call do not fit the event's signature. Nothing was sent."""


class DecodeError(ContractError):
    """A stored event does not fit the contract. The text names the event and the argument, never the value."""


class EntryUnreadable(DecodeError):
    """The stream entry is not in a wire format known here: another program or a later version wrote it."""


class UnknownEvent(DecodeError):
    """The contract has neither an event of this name nor an upcaster from it."""


class UnknownVersion(DecodeError):
    """The contract has an event of this name, but neither this version nor a chain of upcasters from it."""


class OnceInvalid(BackboneError):
    """``once=`` is used where it cannot work: outside a handler, after the ack, or with a label used before.

    Nothing was sent. The text says what would be right.
    """


class ArchiveUnreadable(BackboneError):
    """An object of the archive is damaged or missing, or a later version of this package wrote it."""


class StorageError(BackboneError):
    """A payload could not be saved or loaded."""


class StorageUnavailable(StorageError):
    """The storage does not answer, or refuses for now. Waiting may help."""

    retryable = True


class StorageMissing(StorageUnavailable):
    """This process was not given the storage that has the payload: pass it to Backbone as storage= or in also_read=.

    The payload is not lost: a subscription leaves the event to consumers that have the storage, and is not ready.
    """

    retryable = False


class PayloadGone(StorageError):
    """The payload is missing or has expired."""


class PayloadForbidden(PayloadGone):
    """The storage refuses to hand out the payload.

    S3 gives the same answer for a missing object when the bucket may not be listed, and for one that may not be read,
    perhaps only until a policy is corrected. A subscription therefore retries as after a failed handler, and
    dead-letters the event only after the last attempt.
    """


class PayloadNotGiven(PayloadGone):
    """The payload is in an optional part that this program was not given, on purpose; others may read it."""


class PayloadErased(StorageError):
    """The payload was erased on purpose; a tombstone has taken its place."""


class StreamError(BackboneError):
    """The stream could not be read or written."""


class StreamUnavailable(StreamError):
    """Redis does not answer, or refuses for now (loading, failing over, out of memory). Waiting may help."""

    retryable = True


class GroupMissing(StreamError):
    """The consumer group does not exist. A subscription creates it again, from the beginning of the stream."""

    retryable = True


class RequirementUnknown(StreamError):
    """Reading the event requires something that this version of the package does not know: update it.

    Nothing is lost: a subscription leaves the event to consumers that know it, and is not ready.
    """


class EventNotFound(StreamError):
    """The stream has no entry with this event key."""


class EventsLost(StreamError):
    """Redis has lost events that the archive has; ``Backbone.restore`` brings them back."""


class EventIdExpired(StreamError):
    """The event id is older than the deduplication window: a duplicate would go unnoticed. Nothing was sent."""


class EventIdAhead(StreamError):
    """The event id's time is ahead of the server's clock by more than the deduplication window. Nothing was sent."""


class LeaseLost(StreamError):
    """The event is finished, or another consumer has taken it over; what this one does with it no longer counts."""


class ReplayStopped(BackboneError):
    """A replay ended at an event that its handlers could not handle. Correct that, and replay from ``next`` on.

    All events of the range before the key ``next``, which ``EventKey.parse`` reads, are done with. Some after it may
    have been handled, and will be handled again.
    """

    def __init__(self, text: str, next_key: str) -> None:
        """Say which event it is, and why; keep the key to go on with."""
        super().__init__(text)
        self.next = next_key


class NotSent(BackboneError):
    """The event was not sent. Producing it again is safe."""


class BackboneClosed(NotSent):
    """The backbone is closed, or closing, and accepts no new events."""


class OutcomeUnknown(BackboneError):
    """No answer in time: the event may or may not be in the stream.

    Producing again with ``.using(event_id=error.event_id)`` is safe: it makes one entry, whatever happened before.
    """

    def __init__(self, event_id: UUID, reason: str = "There was no answer in time.") -> None:
        """Keep the id of the event that may be in the stream; ``reason`` is one sentence."""
        super().__init__(
            f"{reason} Event {event_id} may or may not have been sent; produce it again with .using(event_id=...)."
        )
        self.event_id = event_id


class PartlySent(OutcomeUnknown):
    """Of several streams, not all have the event: those in ``sent`` do, by URI; ``failed`` says why the others may not.

    Producing again with ``.using(event_id=error.event_id)`` is safe: each stream gets the event once.
    """

    def __init__(self, event_id: UUID, sent: Sequence[str], failed: Mapping[str, Exception]) -> None:
        """Keep the id of the event, the URIs of the streams that have it, and the errors of the others."""
        where = f"is in {' and '.join(sent)}" if sent else "may be in all streams or in none"
        reasons = " ".join(f"{uri}: {error}" for uri, error in failed.items())
        super().__init__(event_id, f"Not all streams have the event: it {where}. {reasons}")
        self.sent = tuple(sent)
        self.failed = dict(failed)


class ProjectionFailed(BackboneError):
    """A projection fails with an event, also after its last attempt. The view has every event before it, and no other.

    ``key`` is the event's key, as text. The text of the error names the event, what was raised, and where.
    """

    def __init__(self, text: str, key: str) -> None:
        """Say what failed, with which event."""
        super().__init__(text)
        self.key = key


class HandlerDecision(BackboneError):
    """Raised by a handler to decide what happens to its event; the base of ``Retry`` and ``Reject``."""


class Retry(HandlerDecision):
    """Deliver the event again after ``after`` or, if None, after the delay of the retry policy.

    This attempt counts: after ``max_attempts`` the event goes to the dead letters.
    """

    def __init__(self, after: timedelta | None = None) -> None:
        """Ask for another attempt, no sooner than ``after`` from now."""
        super().__init__("retry" if after is None else f"retry after {after}")
        self.after = after


class Reject(HandlerDecision):
    """Move the event to the group's dead letters now, with this reason; do not deliver it again."""

    def __init__(self, reason: str) -> None:
        """Give the reason, which becomes the detail of the dead letter."""
        super().__init__(reason)
        self.reason = reason
