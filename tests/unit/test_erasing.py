"""Erasing a payload that is in several storages."""

from collections.abc import Sequence

import pytest

from event_backbone.errors import PayloadGone, StorageUnavailable
from event_backbone.model import PayloadReference
from event_backbone.storage import MemoryStorage, SplitStorage, StorageScope
from event_backbone.testing import memory_backbone
from tests.unit.test_partial_payloads import URI, Orders


class Failing(MemoryStorage):
    """Erases nothing."""

    def __init__(self, name: str, error: Exception) -> None:
        """Raise this error."""
        super().__init__(name)
        self._error = error

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Fail."""
        raise self._error


async def test_an_erase_that_must_be_repeated_says_so_although_another_part_is_gone() -> None:
    """That a part is gone would mean that the others were erased."""
    rest, personal = (
        Failing("rest", PayloadGone("Its pack has expired.")),
        Failing("personal", StorageUnavailable("It does not answer.")),
    )
    async with memory_backbone(SplitStorage(rest, {"email": personal})) as backbone:
        key = await backbone.producer(Orders, uri=URI).order_placed(1, "ada@example.com")
        with pytest.raises(StorageUnavailable):
            await backbone.erase(URI, key)
