"""Payloads in S3: one JSON object an event."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from event_backbone import telemetry
from event_backbone.errors import (
    ConfigurationError,
    DecodeError,
    PayloadConflict,
    PayloadErased,
    PayloadGone,
    StorageError,
    StorageUnavailable,
)
from event_backbone.model import Payload, PayloadReference, SavedPayload
from event_backbone.storage.base import OnPayloads, Storage, StorageScope, WritePlan
from event_backbone.storage.gather import gather_all
from event_backbone.storage.names import storage_name
from event_backbone.storage.s3.keys import payload_key, probe_key
from event_backbone.storage.s3.libraries import require_libraries
from event_backbone.storage.s3.options import S3Options
from event_backbone.wire.payload import ERASED_JSON, payload_from_json, payload_to_json

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

    async def save(self, scope: StorageScope, event_id: UUID, payload: Payload) -> SavedPayload:
        """Write the object unless it exists; then compare.

        Raises:
            PayloadConflict: another payload, or a tombstone, is there.
            StorageUnavailable: S3 does not answer; the object may or may not have been written.
            ConfigurationError: the bucket does not exist, or the credentials or permissions do not allow it.
        """
        reference = PayloadReference(self._name, str(event_id))
        with telemetry.timed(telemetry.payload_duration, {"storage": self._name, "operation": "save"}):
            objects, key = await self._objects(scope), self._key(scope, reference)
            if not await objects.create(key, payload_to_json(payload)):
                await _compare(objects, key, payload, event_id)
        return SavedPayload((reference,))

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Fetch the objects, ``concurrency`` at a time, and call back with each as soon as it is there.

        An object that is not a payload counts as gone. A wrong setting is StorageUnavailable here, so that no event is
        dead-lettered because of it; ``check`` reports it at start-up.
        """
        try:
            objects = await self._objects(scope)
        except ConfigurationError as error:
            away = StorageUnavailable(str(error))
            on_payloads((position, away) for position in range(len(references)))
            return

        async def fetch(position: int, key: str) -> None:
            on_payloads(((position, await _load(objects, key)),))

        await gather_all(fetch(at, self._key(scope, reference)) for at, reference in enumerate(references))

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Overwrite the objects by tombstones."""
        objects = await self._objects(scope)
        keys = (self._key(scope, reference) for reference in references)
        await gather_all(objects.replace(key, ERASED_JSON) for key in keys)

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return the object's whole address: ``s3://<bucket>/<key>``."""
        return f"s3://{self._options.bucket_of(scope.stream.environment)}/{self._key(scope, reference)}"

    def readable(self) -> Mapping[str, Storage]:
        """Return itself under its name."""
        return {self._name: self}

    async def check(self, scope: StorageScope) -> None:
        """Write a small object of a fixed name, the first time, and read it, each time.

        That needs exactly the permissions that producing and reading need, and finds out whether the bucket exists.
        """
        environment = scope.stream.environment
        objects, key = await self._objects(scope), probe_key(self._options, environment)
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
        with self._opening:
            self._opened.clear()
            self._access = None

    def _key(self, scope: StorageScope, reference: PayloadReference) -> str:
        return payload_key(self._options, scope.stream, reference.key)

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


async def _compare(objects: S3Objects, key: str, payload: Payload, event_id: UUID) -> None:
    try:
        document = await objects.read(key)
    except PayloadGone as error:
        raise StorageUnavailable(f"The S3 object {key} exists, but cannot be read to compare it.") from error
    found = _payload(document, key)
    if isinstance(found, StorageError) or found != payload:
        raise PayloadConflict(f"Another payload is saved, or was erased, under event id {event_id}.")


async def _load(objects: S3Objects, key: str) -> Payload | StorageError:
    try:
        return _payload(await objects.read(key), key)
    except StorageError as error:
        return error


def _payload(document: bytes, key: str) -> Payload | StorageError:
    if document == ERASED_JSON:
        return PayloadErased(f"The payload in the S3 object {key} was erased.")
    try:
        return payload_from_json(document)
    except (DecodeError, RecursionError):
        return PayloadGone(f"The S3 object {key} is damaged: it is not a payload.")
