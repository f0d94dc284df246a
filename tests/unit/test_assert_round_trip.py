"""What comes back from storage equals what was produced: the check that an application's tests use."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from event_backbone.contract import (
    Contract,
    assert_round_trip,
    event,
)

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)


class Ship(Contract):
    """What happens to a shipment."""

    @event
    def delivered(self, parcel: str, *, at: datetime) -> None:
        """The parcel arrived, and when."""


def test_a_round_trip_is_asserted() -> None:
    """What comes back equal passes, what does not is named."""

    class Lossy(Contract):
        @event
        def happened(self, number: float, anything: object) -> None: ...

    assert_round_trip(Ship.delivered, "p", at=NOON)
    assert_round_trip(Lossy.happened, float("nan"), ["x"])
    with pytest.raises(
        AssertionError, match=r"Argument 'anything' of <event Lossy\.happened> does not come back equal"
    ):
        assert_round_trip(Lossy.happened, 1.0, anything=UUID(int=1))
    with pytest.raises(
        AssertionError, match="Argument 'anything' of event 'happened' has a value that its type cannot write"
    ):
        assert_round_trip(Lossy.happened, 1.0, object())
