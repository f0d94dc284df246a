"""What packs and the marker need of S3."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol


class ObjectStore(Protocol):
    """Objects of one bucket. Each call, and each page of a listing, ends within the storage's deadline."""

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

    def list_keys(self, prefix: str, after: str | None = None) -> AsyncGenerator[list[str], None]:
        """Yield the keys below a folder, a page of at most 1000 at a time, in the order of the bucket.

        ``prefix`` is the folder, with or without a slash at its end. ``after`` leaves out the keys up to this one,
        which need not exist, but must not name a folder: some servers then leave out all that is in it. The order is
        ascending, by bytes; a server that keeps folders may sort by the name of each folder in turn.

        Raises StorageUnavailable for an outage that outlasts the deadline of a page; begin again after the last key.
        Raises ConfigurationError when listing is forbidden, or the bucket does not exist.
        """
        ...

    async def list_folders(self, prefix: str) -> list[str]:
        """Return the names of the folders in a folder, without what is above them. Raises as ``list_keys`` does."""
        ...


async def is_listed(objects: ObjectStore, key: str) -> bool:
    """Return whether an object exists that S3 calls forbidden.

    It does so of a missing one, too, to those who may list only a part of the bucket. Raises as ``list_keys`` does.
    """
    async with aclosing(objects.list_keys(key.rpartition("/")[0], after=key[:-1])) as pages:
        async for page in pages:
            return key in page
    return False
