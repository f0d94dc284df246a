"""Streams whose retention is carried out by hand."""

import pytest

from event_backbone import Backbone
from event_backbone.connection import RedisConnection
from tests.support.retention import Retained


@pytest.fixture
def retained(backbone: Backbone, connection: RedisConnection) -> Retained:
    """Parcels with payloads in Redis hashes."""
    return Retained(backbone, connection)
