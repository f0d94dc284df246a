"""What packs and the marker need of S3."""

from __future__ import annotations

from typing import Protocol


class ObjectStore(Protocol):
    """Objects of one bucket. Each call ends within the storage's deadline."""

    async def create(self, key: str, body: bytes, *, content_type: str = ...) -> bool:
        """Write an object that does not exist; False when it exists, perhaps from an earlier try with a lost answer.

        Raises ConfigurationError, or StorageUnavailable when it may or may not have been written.
        """
        ...

    async def read(self, key: str) -> bytes:
        """Return an object's bytes; raise PayloadGone, PayloadForbidden or StorageUnavailable."""
        ...

    async def read_range(self, key: str, first: int, length: int) -> bytes:
        """Return some of an object's bytes, fewer if it ends before. Raises as ``read`` does."""
        ...
