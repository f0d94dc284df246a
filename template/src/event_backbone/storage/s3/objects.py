"""Reads and writes objects in one bucket with obstore, within a deadline. Importing this imports obstore."""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, PreconditionError

from event_backbone.backoff import Backoff, Delays
from event_backbone.storage.per_loop import PerLoop
from event_backbone.storage.s3.client import object_attributes, object_tags, open_bucket
from event_backbone.storage.s3.options import S3Options
from event_backbone.storage.s3.problems import (
    ignores_ranges,
    is_beyond_end,
    is_unmet_condition,
    list_error,
    problem_of,
    read_error,
    write_error,
)

if TYPE_CHECKING:
    from obstore import Attributes, ListResult, ObjectMeta, PutMode

    from event_backbone.storage.s3.access import S3Access

T = TypeVar("T")
_JSON = "application/json"
_PAGE = 1000  # as many keys as S3 lists in one answer
_FAILURES = (BaseError, FileNotFoundError)  # the second is obstore's error for any 404
_CONDITIONS = (AlreadyExistsError, PreconditionError, FileNotFoundError)
_BACKOFF = Backoff(first=timedelta(milliseconds=100), longest=timedelta(seconds=5), jitter=1)
_LAST_PAUSE = timedelta(milliseconds=50)

# obstore's threads drop their references to Python objects a moment after they have delivered a result. One that finds
# Python gone by then aborts the process, so they get that moment before it ends.
atexit.register(time.sleep, _LAST_PAUSE.total_seconds())


class _Listings(Protocol):
    """How a bucket is listed; obstore's own signatures need a library that is not installed."""

    def list(self, prefix: str, *, offset: str | None, chunk_size: int) -> AsyncIterator[Sequence[ObjectMeta]]: ...

    async def list_with_delimiter_async(self, prefix: str) -> ListResult[Sequence[ObjectMeta]]: ...


class S3Objects:
    """Reads and writes objects. Retries itself: obstore would retry for minutes, and never a create."""

    def __init__(self, bucket: str, options: S3Options, access: S3Access) -> None:
        """Prepare a client; nothing connects yet. Raises ConfigurationError when obstore refuses a setting."""
        self._bucket = bucket
        self._endpoint = access.endpoint
        self._deadline = options.deadline.total_seconds()
        self._tries = options.retries + 1
        self._slots = PerLoop(lambda: asyncio.Semaphore(options.concurrency))
        self._store = open_bucket(bucket, options, access)
        self._listings = cast("_Listings", self._store)
        self._attributes, self._tags = object_attributes(options), object_tags(options)

    async def create(self, key: str, body: bytes, *, content_type: str = _JSON) -> bool:
        """Write an object that does not exist; False when it exists, perhaps from an earlier try with a lost answer.

        Raises ConfigurationError, or StorageUnavailable when it may or may not have been written.
        """
        return await self._write(partial(self._put, key, body, "create", content_type))

    async def replace(self, key: str, body: bytes, e_tag: str | None, *, content_type: str = _JSON) -> bool:
        """Write an object if it still is the version with this tag; False when it is not. Raises as ``create`` does."""
        return await self._write(partial(self._put, key, body, {"e_tag": e_tag}, content_type))

    async def read_version(self, key: str) -> tuple[bytes, str | None]:
        """Return an object's bytes, and the tag of this version; raise PayloadGone or StorageUnavailable."""
        return await self._read(key, partial(self._get, key))

    async def read(self, key: str) -> bytes:
        """Return an object's bytes; raise PayloadGone or StorageUnavailable."""
        return (await self.read_version(key))[0]

    async def read_range(self, key: str, first: int, length: int) -> bytes:
        """Return some of an object's bytes, fewer if it ends before; raise PayloadGone or StorageUnavailable."""

        async def get() -> bytes:
            try:
                return (await self._get(key, (first, first + length)))[0]
            except BaseError as error:
                if is_beyond_end(error):
                    return b""
                if ignores_ranges(error):
                    return (await self._get(key))[0][first : first + length]
                raise

        return await self._read(key, get) if length else b""

    async def list_keys(self, prefix: str, after: str | None = None) -> AsyncGenerator[list[str], None]:
        """Yield the keys below a folder, page by page. ``ObjectStore.list_keys`` says more."""
        page = await self._list(partial(self._page, prefix, after))
        while page:
            yield page
            page = await self._list(partial(self._page, prefix, page[-1])) if len(page) == _PAGE else []

    async def list_folders(self, prefix: str) -> list[str]:
        """Return the names of the folders in a folder. Raises as ``list_keys`` does."""
        found = await self._list(lambda: self._listings.list_with_delimiter_async(prefix))
        return [folder.rpartition("/")[2] for folder in found["common_prefixes"]]

    async def _page(self, prefix: str, after: str | None) -> list[str]:
        async for found in self._listings.list(prefix, offset=after, chunk_size=_PAGE):
            return [each["path"] for each in found]
        return []

    async def _list(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._within_deadline(ask)
        except (*_FAILURES, TimeoutError) as error:
            raise list_error(problem_of(error), self._bucket, self._endpoint) from error

    async def _get(self, key: str, part: tuple[int, int] | None = None) -> tuple[bytes, str | None]:
        answer = await self._store.get_async(key, options=None if part is None else {"range": part})
        body, (first, end) = bytes(await answer.bytes_async()), answer.range
        if len(body) != end - first:
            raise GenericError("The answer is shorter than its header says.")  # which is all that obstore goes by
        return body, answer.meta["e_tag"]

    async def _read(self, key: str, get: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._within_deadline(get)
        except (*_FAILURES, TimeoutError) as error:
            raise read_error(problem_of(error), self._bucket, key, self._endpoint) from error

    async def _put(self, key: str, body: bytes, mode: PutMode, content_type: str) -> bool:
        attributes: Attributes = {**self._attributes, "Content-Type": content_type}
        try:
            await self._store.put_async(
                key, body, attributes=attributes, tags=self._tags, mode=mode, use_multipart=False
            )
        except _CONDITIONS as error:
            if is_unmet_condition(error, of_replacing=mode != "create"):
                return False
            raise
        return True

    async def _write(self, put: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._within_deadline(put)
        except (*_FAILURES, TimeoutError) as error:
            raise write_error(problem_of(error), self._bucket, self._endpoint) from error

    async def _within_deadline(self, call: Callable[[], Awaitable[T]]) -> T:
        async with asyncio.timeout(self._deadline), self._slots.get():
            delays = Delays(_BACKOFF)
            for _ in range(self._tries - 1):
                try:
                    return await call()
                except _FAILURES as error:
                    if problem_of(error) != "outage":
                        raise
                await delays.wait()
            return await call()
