"""The Redis keys of wire format 1: ``{<stream>}:<purpose>``, completed by ``StreamName.key_of``.

Each constant begins a purpose; the event id, second, token or group that follows a colon is said beside it.
"""

from __future__ import annotations

PAYLOAD_KEY = "payload"  # [<storage>:]<event id>: hash of the arguments
SEEN_KEY = "seen"  # <second>: hash of the event ids of that second
TOKEN_KEY = "token"  # noqa: S105 - <sha256>: the event id kept for an idempotency token
ATTEMPTS_KEY = "attempts"  # <group>: hash of notes on the attempts at pending entries
DUE_KEY = "due"  # <group>: sorted set of parked entries, by due time
MEMBERS_KEY = "members"  # <group>: sorted set of the group's members, by the end of their leases
GROUP_KEY = "group"  # <group>: hash of what the group remembers of its looks
ONCE_KEY = "once"  # <group>: hash of what is kept of follow-up events, by the entry that was handled
DEAD_LETTERS_KEY = "dead"  # <group>: stream of dead letters
REDRIVEN_KEY = "redriven"  # <group>: hash of unfinished redriven entries: the ids of their events' own entries
TOMBSTONES_KEY = "tombstones"  # set of the ids of entries that were deleted to erase their inline payload

FORWARDS_KEY = "forwards"  # hash of the links into the stream: how far each is, and what it forwards
RETENTION_KEY = "retention"  # token of the process that carries out retention

# The archive.
ARCHIVE_KEY = "archive"  # hash: how far the archive is, and from where the stream has no gaps
ARCHIVER_KEY = "archiver"  # token of the archiver at work
ERASED_KEY = "erased"  # set of erased events whose segment may still have the arguments

# A restore under way. Each of the last two keeps, by the id of a live entry, the id that its event has when restored.
RESTORE_KEY = "restore"  # token of the restore
RESTORING_KEY = "restoring"  # the stream that is being built
RESTORING_STATE_KEY = "restoring:state"  # hash: how far the restore is
RESTORING_GROUPS_KEY = "restoring:groups"  # set of the groups that have been set
RESTORING_DUE_KEY = "restoring:due"  # <group>: becomes the group's sorted set of due times
RESTORING_DEAD_LETTERS_KEY = "restoring:dead"  # <group>: becomes the group's stream of dead letters
RESTORING_ONCE_KEY = "restoring:once"  # <group>: is added to what is kept of the group's follow-up events
RESTORING_MOVED_KEY = "restoring:moved"  # hash of live entries that get another id
RESTORING_DUPLICATES_KEY = "restoring:duplicates"  # hash of live entries that are left out

ABSENT_KEY = "absent"
"""Never written: scripts name it in a cluster, so that none runs while only some keys of its slot have moved."""

WAITING_CONSUMER = "waiting"
"""The reserved consumer of parked entries: nobody reads under this name."""
