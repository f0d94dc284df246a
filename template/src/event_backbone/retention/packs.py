"""For how long events in Redis refer to packs."""

from __future__ import annotations

from datetime import timedelta

from event_backbone.retention.options import Retention


def why_packs_are_needed(days: int, retention: Retention | None) -> str | None:
    """Return in one sentence why S3 must not delete packs so many days after they were written; None if it may."""
    if retention is None or retention.max_age is None:
        return "Set max_age of Retention first: without it events stay in Redis, and need their packs, forever."
    if retention.dead_letters_for is None:
        return "Set dead_letters_for of Retention first: without it dead letters need their packs forever."
    longest = max(retention.max_age, retention.dead_letters_for)
    needed = -(-longest // timedelta(days=1))
    if days >= needed:
        return None
    time = "a day" if needed == 1 else f"{needed} days"
    return f"Keep packs for at least {time}: events (max_age) or dead letters (dead_letters_for) need them that long."
