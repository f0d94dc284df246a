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
TOMBSTONES_KEY = "tombstones"  # set of the ids of entries that were deleted to erase their inline payload

WAITING_CONSUMER = "waiting"
"""The reserved consumer of parked entries: nobody reads under this name."""
