"""What a type checker must reject when events are produced."""

from event_backbone.contract import Contract, assert_round_trip, event


class Ship(Contract):
    """A contract."""

    @event
    def packing(self, email: str, product_id: int, *, fragile: bool = False) -> None:
        """The parcel is being packed."""

    @event(version=2)
    def delivered(self, parcel: str) -> None:
        """The parcel arrived."""

    @event(deprecated="use delivered")
    def received(self, parcel: str) -> None:
        """The parcel arrived, as it was called before."""


async def produce(ship: Ship) -> None:
    """Each marked call is wrong in its own way."""
    await ship.packing("a@b.c", 1)
    await ship.packing("a@b.c", "one")  # expect-error: wrong argument
    await ship.packing("a@b.c")  # expect-error: missing argument
    await ship.packing("a@b.c", 1, True)  # expect-error: keyword-only argument given by position
    await ship.packing("a@b.c", 1, colour="red")  # expect-error: unknown argument
    await ship.lost("a@b.c")  # expect-error: unknown event
    await ship.delivered(parcel=5)  # expect-error: wrong argument of an event with options
    await ship.packing.using(correlation_id="c")("a@b.c", None)  # expect-error: wrong argument after using()
    await ship.packing.using(event_id="c")("a@b.c", 1)  # expect-error: an event id is a UUID
    await ship.received("a parcel")  # expect-error: a deprecated event
    assert_round_trip(Ship.received, "a parcel")
    assert_round_trip(Ship.packing, "a@b.c", 1.5)  # expect-error: wrong argument


class Broken(Contract):
    """A contract whose events are invalid."""

    @event  # expect-error: an event returns nothing
    def answers(self) -> int:
        """Return something."""
        return 1


@Ship.delivered.upcast(from_version=1)  # expect-error: an upcaster returns the arguments
def forget(arguments: dict[str, object]) -> None:
    """Returns nothing."""
