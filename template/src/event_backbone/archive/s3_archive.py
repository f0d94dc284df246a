"""``S3Archive``: where the history of streams is kept in S3."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from event_backbone.archive.open_segment import OpenBytes
from event_backbone.errors import ConfigurationError, PayloadForbidden, PayloadGone
from event_backbone.storage.names import storage_name
from event_backbone.storage.s3.connection import S3Connection
from event_backbone.storage.s3.keys import below_environment
from event_backbone.storage.s3.libraries import require_libraries
from event_backbone.storage.s3.marker import Marker
from event_backbone.storage.s3.object_store import is_listed
from event_backbone.storage.s3.options import S3Options

if TYPE_CHECKING:
    import boto3

    from event_backbone.storage.s3.objects import S3Objects

T = TypeVar("T")
_LATE_AFTER = timedelta(minutes=5)
_PROBE = b"This object shows that two writers cannot both create it, which the archive relies on.\n"


class S3Archive:
    """Keeps the events of streams in segments: compressed objects of one record a line, each of which follows another.

    It may share bucket and prefix with an S3Storage of the same name and environment. Cold reads need
    s3:GetObject and s3:ListBucket; archiving, erasing and restoring also s3:PutObject. May be used from several event
    loops.
    """

    def __init__(
        self,
        options: S3Options | None = None,
        *,
        session: boto3.Session | None = None,
        name: str = "s3",
        segment_bytes: int = 16 << 20,
        close_after: timedelta = timedelta(seconds=60),
    ) -> None:
        """Prepare the archive; it connects, and looks for credentials, when it is first used.

        Args:
            options: where and how; None reads everything from the environment.
            session: a ready boto3 session: its credentials are used, and its region unless options name one.
            name: the name of the S3Storage that shares bucket and prefix, if one does.
            segment_bytes: a segment is written when it has so many bytes, uncompressed.
            close_after: a segment is written at the latest so long after its first event was read. It is also what the
                loss of Redis may cost of payloads that are in Redis.

        Raises:
            ConfigurationError: a setting is missing or wrong, or obstore, boto3 and zstandard are not installed.
        """
        require_libraries()
        if find_spec("zstandard") is None:
            raise ConfigurationError("An archive needs one more package: pip install zstandard")
        if segment_bytes < 1 or close_after <= timedelta(0):
            raise ConfigurationError("segment_bytes and close_after of S3Archive must be positive.")
        self.segment_bytes = segment_bytes
        self.close_after = close_after
        self.open_bytes = OpenBytes()
        self._options = (options or S3Options()).resolved()
        if self._options.environment_in == "nothing":
            raise ConfigurationError(
                "An archive needs the environment in its names: set S3_EVENT_SOURCE_ENVIRONMENT_IN to key or bucket."
            )
        self._connection = S3Connection(self._options, session)
        self._marker = Marker(self._options, storage_name(name))

    @property
    def late_after(self) -> timedelta:
        """How old an event may be that is not archived before archiving is late."""
        return max(_LATE_AFTER, 5 * self.close_after)

    @property
    def options(self) -> S3Options:
        """The options it was made with, completed from the environment."""
        return self._options

    async def objects(self, environment: str) -> S3Objects:
        """Return the objects of an environment's bucket. Raises ConfigurationError when that cannot be opened."""
        return await self._connection.objects(environment)

    async def read(self, environment: str, key: str) -> bytes | None:
        """Return an object's bytes; None when there is no such object.

        Raises:
            ConfigurationError: S3 forbids it, or says so because the bucket may not be listed.
            StorageUnavailable: S3 does not answer.
        """
        found = await self.read_version(environment, key)
        return None if found is None else found[0]

    async def read_version(self, environment: str, key: str) -> tuple[bytes, str | None] | None:
        """Return an object's bytes and the tag of this version, as ``read`` does."""
        return await self._existing(environment, key, (await self.objects(environment)).read_version(key))

    async def read_range(self, environment: str, key: str, first: int, length: int) -> bytes | None:
        """Return some of an object's bytes, as ``read`` does."""
        objects = await self.objects(environment)
        return await self._existing(environment, key, objects.read_range(key, first, length))

    async def overwrite(self, environment: str, key: str, body: bytes) -> None:
        """Write an object of JSON, whether or not there is one, and whatever others write meanwhile.

        Raises:
            ConfigurationError: S3 forbids it.
            StorageUnavailable: S3 does not answer; it may be written.
        """
        objects, written = await self.objects(environment), False
        while not written:
            version = await self.read_version(environment, key)
            if version is None:
                written = await objects.create(key, body)
            else:
                written = await objects.replace(key, body, version[1])

    async def check(self, environment: str) -> None:
        """Check that the archive can be read and written, and that nobody can overwrite what another has written.

        Raises:
            ConfigurationError: the marker is another one, a permission is missing, or conditional writes do not work.
            StorageUnavailable: S3 does not answer, or the marker has disappeared.
        """
        objects = await self.objects(environment)
        await self._marker.check(objects, environment)
        await self._check_conditional_writes(objects, environment)
        await objects.list_folders(below_environment(self._options, environment, "archive/"))

    async def close(self) -> None:
        """Drop clients and credentials; a later call opens them again. May be called twice."""
        self._connection.close()

    async def _check_conditional_writes(self, objects: S3Objects, environment: str) -> None:
        """Let two create the same object at the same time: at most one may succeed, and a replacement must not."""
        key = below_environment(self._options, environment, "archive/conditional-writes.txt")
        created = await asyncio.gather(*(objects.create(key, _PROBE, content_type="text/plain") for _ in range(2)))
        if all(created) or await objects.replace(key, _PROBE, '"another"', content_type="text/plain"):
            raise ConfigurationError(
                f"The S3 of bucket {self._options.bucket_of(environment)} ignores the conditions of writes "
                "(If-None-Match, If-Match), so archivers could overwrite each other; use an S3 that supports them."
            )

    async def _existing(self, environment: str, key: str, read: Awaitable[T]) -> T | None:
        try:
            return await read
        except PayloadForbidden as error:
            # S3 says so of a missing object, too, to those who may list only a part of the bucket.
            if not await is_listed(await self.objects(environment), key):
                return None
            bucket = self._options.bucket_of(environment)
            raise ConfigurationError(
                f"S3 forbids reading {key} in bucket {bucket}: grant s3:GetObject, as the policy does that "
                "`bucket policy` prints."
            ) from error
        except PayloadGone:
            return None
