"""Payloads in memory."""

import pytest

from event_backbone.storage import MemoryStorage
from tests.conformance.storage_suite import PAYLOAD, ByIdSuite, StorageCase, StorageSuite


class TestMemoryStorage(StorageSuite, ByIdSuite):
    """The suite on MemoryStorage."""

    @pytest.fixture
    def case(self) -> StorageCase:
        """An empty storage."""
        return StorageCase(MemoryStorage())


async def test_a_loaded_payload_is_the_callers_own() -> None:
    """Changing it changes nothing that is kept."""
    case = StorageCase(MemoryStorage())
    references = await case.save(PAYLOAD)
    loaded = await case.load_one(references)
    assert isinstance(loaded, dict)
    loaded.clear()
    assert await case.load_one(references) == PAYLOAD
