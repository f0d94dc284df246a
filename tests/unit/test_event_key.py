"""The neighbours of an event key: a reader goes on after one, a group begins before one."""

from hypothesis import given
from hypothesis import strategies as st

from event_backbone.model import EventKey

LARGEST = 2**64 - 1
numbers = st.integers(0, LARGEST) | st.sampled_from([0, 1, LARGEST])
keys = st.builds(EventKey, numbers, numbers, st.integers(0, 9))


@given(keys)
def test_nothing_is_between_a_key_and_its_neighbours(key: EventKey) -> None:
    """Also where the sequence ends and the next millisecond begins; the partition stays."""
    assert key.successor() > key
    assert key.successor().predecessor() == key
    if (key.milliseconds, key.sequence) != (0, 0):
        assert key.predecessor() < key
        assert key.predecessor().successor() == key


def test_nothing_comes_before_the_first_key() -> None:
    """A reader that starts after it misses nothing: no server gives this key to an event."""
    assert EventKey(0).predecessor() == EventKey(0)
