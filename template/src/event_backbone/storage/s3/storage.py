"""Records in S3, many to an object."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from event_backbone.contract import Contract
from event_backbone.errors import (
    ConfigurationError,
    PayloadGone,
    StorageError,
    StorageUnavailable,
)
from event_backbone.model import PayloadReference, SavedPayload, new_event_id
from event_backbone.spans import storage_call
from event_backbone.storage.base import OnPayloads, Storage, StorageScope, WritePlan
from event_backbone.storage.names import storage_name
from event_backbone.storage.s3.keys import marker_key, pack_key
from event_backbone.storage.s3.libraries import require_libraries
from event_backbone.storage.s3.options import S3Options
from event_backbone.storage.s3.pack_line import PackLine
from event_backbone.storage.s3.pack_reader import PackReader
from event_backbone.wire import Record, erase_record, write_record

if TYPE_CHECKING:
    import boto3

    from event_backbone.storage.s3.access import S3Access
    from event_backbone.storage.s3.objects import S3Objects

_PROBE = b'{"_check":true}'


class S3Storage:
    """Keeps a payload as one object, ``application/json``, whose members are the arguments.

    Its key follows from the event id, and it is written only if absent: saving again changes nothing, even after a
    lost answer. Needs s3:PutObject and s3:GetObject, nothing else. Erasing overwrites, so in a bucket with versions the
    old version stays until a lifecycle rule removes it. boto3 finds the credentials, obstore moves the bytes. May be
    used from several event loops and threads.
    """

    def __init__(
        self, options: S3Options | None = None, *, session: boto3.Session | None = None, name: str = "s3"
    ) -> None:
        """Prepare the storage; it connects, and looks for credentials, when it is first used.

        Args:
            options: where and how; None reads everything from the environment.
            session: a ready boto3 session: its credentials are used, and its region unless options name one.
            name: what references call this storage.

        Raises:
            ConfigurationError: a setting is missing or wrong, or obstore and boto3 are not installed.
        """
        require_libraries()
        self._name = storage_name(name)
        self._options = (options or S3Options()).resolved()
        self._session = session
        self._access: S3Access | None = None
        self._opened: dict[str, S3Objects] = {}
        self._opening = threading.Lock()
        self._may_write: set[str] = set()
        self._reader = PackReader(self._options, _explain_missing)

    @property
    def name(self) -> str:
        """The name by which references name this storage."""
        return self._name

    @property
    def options(self) -> S3Options:
        """The options it was made with, completed from the environment."""
        return self._options

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Return None: S3 cannot write an object together with an entry."""

    def check_contract(self, contract: type[Contract]) -> None:
        """Do nothing: every contract fits."""

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Write the record as a pack of one.

        Raises:
            StorageUnavailable: S3 does not answer; the object may or may not have been written.
            ConfigurationError: the bucket does not exist, or the credentials or permissions do not allow it.
        """
        with storage_call(self._name, "save"):
            objects, line = await self._objects(scope), write_record(record, scope.stream)
            place = PackLine(new_event_id().hex, 0, len(line))
            await objects.create(pack_key(self._options, scope.stream, place.pack_id), line + b"\n")
        return SavedPayload((PayloadReference(self._name, record.metadata.id_text, str(place)),))

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Read the packs, ``concurrency`` at a time, and call back with the lines of each as soon as it is there.

        A line that is not the event's record counts as gone. A wrong setting is StorageUnavailable here, so that no
        event is dead-lettered because of it; ``check`` reports it at start-up.
        """
        try:
            objects = await self._objects(scope)
        except ConfigurationError as error:
            away = StorageUnavailable(str(error))
            on_payloads((position, away) for position in range(len(references)))
            return
        await self._reader.load(objects, scope, references, on_payloads)

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Remove the arguments from the records."""
        objects = await self._objects(scope)
        for reference in references:
            key, line = self._place(scope, reference)
            pack = await objects.read(key)
            end = line.offset_bytes + line.length_bytes
            erased = erase_record(pack[line.offset_bytes : end], reference.event_id)
            await objects.replace(key, pack[: line.offset_bytes] + erased + pack[end:])
            self._reader.forget(key)

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return the object's whole address: ``s3://<bucket>/<key>``."""
        return f"s3://{self._options.bucket_of(scope.stream.environment)}/{self._place(scope, reference)[0]}"

    def readable(self) -> Mapping[str, Storage]:
        """Return itself under its name."""
        return {self._name: self}

    async def check(self, scope: StorageScope) -> None:
        """Write a small object of a fixed name, the first time, and read it, each time.

        That needs exactly the permissions that producing and reading need, and finds out whether the bucket exists.
        """
        environment = scope.stream.environment
        objects, key = await self._objects(scope), marker_key(self._options, environment)
        if environment not in self._may_write:
            await objects.replace(key, _PROBE)
            self._may_write.add(environment)
        try:
            await objects.read(key)
        except PayloadGone as error:
            bucket = self._options.bucket_of(environment)
            self._may_write.discard(environment)
            raise ConfigurationError(f"S3 forbids reading in bucket {bucket}: grant s3:GetObject.") from error

    async def close(self) -> None:
        """Drop clients and credentials; their connections close with them."""
        self._reader.close()
        with self._opening:
            self._opened.clear()
            self._access = None

    def _place(self, scope: StorageScope, reference: PayloadReference) -> tuple[str, PackLine]:
        line = PackLine.parse(reference.key)
        return pack_key(self._options, scope.stream, line.pack_id), line

    async def _objects(self, scope: StorageScope) -> S3Objects:
        bucket = self._options.bucket_of(scope.stream.environment)
        opened = self._opened.get(bucket)
        return await asyncio.to_thread(self._open, bucket) if opened is None else opened

    def _open(self, bucket: str) -> S3Objects:
        """Import the libraries, find credentials, and open the bucket's client: half a second, in a thread."""
        from event_backbone.storage.s3.access import find_access  # noqa: PLC0415 - see above
        from event_backbone.storage.s3.objects import S3Objects  # noqa: PLC0415

        with self._opening:
            if bucket not in self._opened:
                self._access = self._access or find_access(self._options, self._session)
                self._opened[bucket] = S3Objects(bucket, self._options, self._access)
            return self._opened[bucket]


async def _explain_missing(objects: S3Objects, environment: str, error: PayloadGone) -> StorageError:  # noqa: ARG001
    return error
