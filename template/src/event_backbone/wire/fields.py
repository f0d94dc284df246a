"""Names and units of wire format 1: the fields of entries, dead letters and hashes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# An entry.
WIRE_FORMAT = b"1"
FORMAT_FIELD = "wire"
METADATA_FIELD = "metadata"
INLINE_PREFIX = "arg:"  # an argument of a payload that is in the entry itself, by its name

# A redriven entry. It has these instead of metadata: the id of the event's own entry, a space and the group that is to
# handle the event; and the metadata of that entry.
REDRIVEN_FIELD = "redriven"
REDRIVEN_METADATA_FIELD = f"{REDRIVEN_FIELD}:metadata"

# The header of an event that was produced once.
ONCE_HEADER = "once"

# The header of an event that a restore has appended again, under a new key: when, in UTC.
RESTORED_HEADER = "restored"

# A dead letter: the fields of its entry, and these.
DEAD_LETTER_PREFIX = "dead:"
DEAD_LETTER_SOURCE = f"{DEAD_LETTER_PREFIX}source"
DEAD_LETTER_ATTEMPTS = f"{DEAD_LETTER_PREFIX}attempts"
DEAD_LETTER_REASON = f"{DEAD_LETTER_PREFIX}reason"
DEAD_LETTER_DETAIL = f"{DEAD_LETTER_PREFIX}detail"
DEAD_LETTER_ERROR = f"{DEAD_LETTER_PREFIX}error"
DEAD_LETTER_PLACE = f"{DEAD_LETTER_PREFIX}place"
DEAD_LETTER_REDRIVES = f"{DEAD_LETTER_PREFIX}redrives"  # only if there were any

# The hash of a group; times and durations in milliseconds.
LOOKED_FIELD = "looked"
HOLD_FIELD = "hold"
SWEPT_FIELD = "swept"
LONGEST_LEASE_FIELD = "lease"
NOTICED_FIELD = "noticed"  # when retention first saw the group, if no member had looked by then
FORGOTTEN_FIELD = "forgotten"  # since when it keeps no events in the stream; a look deletes it
CUT_FIELD = "cut"  # how many events left the stream before the group had finished them, when that last happened
CUT_UNTIL_FIELD = "cut-until"  # the last one's id
CUT_AT_FIELD = "cut-at"  # when that was
SKIPPED_AFTER_FIELD = "skipped-after"  # the id after which the group was last moved forward
SKIPPED_UNTIL_FIELD = "skipped-until"  # the id up to which it has skipped entries by that

# The hash of the archive; all four are entry ids.
COMMITTING_FIELD = "committing"
COMMITTED_FIELD = "committed"
FOLLOWS_FIELD = "follows"
COMPLETE_FROM_FIELD = "complete-from"

# The hash of a restore: the number of its last call, and the last live entry that it has copied.
STEP_FIELD = "step"
COPIED_FIELD = "copied"

# A payload. No argument's name begins with an underscore.
EMPTY_FIELD = "_empty"
COPY_FIELD = "_of"  # in a cache: the key of the payload of which this is a copy
ERASED_FIELD = "_erased"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
