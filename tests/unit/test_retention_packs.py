"""For how long events in Redis refer to packs, by what the retention says."""

from datetime import timedelta

import pytest

from event_backbone import Retention
from event_backbone.retention.packs import why_packs_are_needed

HOUR = timedelta(hours=1)
A_DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("retention", "days", "reason"),
    [
        (None, 999, "Set max_age of Retention first: "),
        (Retention(max_bytes=1), 999, "Set max_age of Retention first: "),
        (Retention(max_age=HOUR, dead_letters_for=None), 999, "Set dead_letters_for of Retention first: "),
        (Retention(max_age=HOUR, dead_letters_for=HOUR), 0, "Keep packs for at least a day: "),
        (Retention(max_age=HOUR, dead_letters_for=HOUR), 1, None),
        (Retention(max_age=2 * A_DAY, dead_letters_for=A_DAY), 1, "Keep packs for at least 2 days: "),
        (Retention(max_age=A_DAY, dead_letters_for=2 * A_DAY + HOUR), 2, "Keep packs for at least 3 days: "),
        (Retention(max_age=A_DAY, dead_letters_for=2 * A_DAY + HOUR), 3, None),
    ],
)
def test_packs_are_needed_for_as_long_as_events_and_dead_letters_stay(
    retention: Retention | None, days: int, reason: str | None
) -> None:
    """For whole days, rounded up; if either has no limit, forever."""
    found = why_packs_are_needed(days, retention)
    assert found is None if reason is None else found is not None and found.startswith(reason)
