"""Fixtures for tests of the producing side."""

import pytest

from event_backbone.producer import Batcher
from event_backbone.stream.memory import MemoryStreams
from tests.support.producing import NAME, producer_of
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream


@pytest.fixture
def stream() -> HeldStream:
    """A stream in memory that can be blocked."""
    return HeldStream(MemoryStreams().stream(NAME))


@pytest.fixture
def batcher(stream: HeldStream) -> Batcher:
    """The batcher of that stream."""
    return Batcher(stream)


@pytest.fixture
def producer(batcher: Batcher) -> ShipmentTracking:
    """A typed producer."""
    return producer_of(batcher)
