"""Records in S3, many to an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from event_backbone.contract import Contract
from event_backbone.errors import (
    ConfigurationError,
    DecodeError,
    PayloadForbidden,
    PayloadGone,
    StorageUnavailable,
)
from event_backbone.model import HashWrite, Payload, PayloadReference, SavedPayload, StreamName
from event_backbone.spans import storage_call
from event_backbone.storage.base import HashPlace, OnPayloads, RecordLog, Storage, StorageScope, WritePlan
from event_backbone.storage.gather import gather_all
from event_backbone.storage.names import storage_name
from event_backbone.storage.per_loop import PerLoop
from event_backbone.storage.s3.connection import S3Connection
from event_backbone.storage.s3.keys import pack_key, pack_time
from event_backbone.storage.s3.libraries import require_libraries
from event_backbone.storage.s3.marker import Marker
from event_backbone.storage.s3.options import S3Options
from event_backbone.storage.s3.pack_erasing import erase_lines
from event_backbone.storage.s3.pack_line import PackLine
from event_backbone.storage.s3.pack_log import PackLog
from event_backbone.storage.s3.pack_reader import PackReader
from event_backbone.storage.s3.pack_writer import PackWriter
from event_backbone.wire import Record, write_record

if TYPE_CHECKING:
    import boto3


class S3Storage:
    """Keeps records in packs: objects of one record a line, which are written once, whole, and only if absent.

    What is saved at the same time shares a pack, and so a request. Saving a payload again makes a second record; what
    the entry refers to counts, and a record that no entry refers to stays until a lifecycle rule removes its pack.
    Needs s3:PutObject and s3:GetObject; only ``record_log`` also needs s3:ListBucket. Erasing writes the pack again,
    so in a bucket with versions the old version stays until a lifecycle rule removes it. boto3 finds the credentials,
    obstore moves the bytes. May be used from several event loops and threads.
    """

    def __init__(
        self,
        options: S3Options | None = None,
        *,
        session: boto3.Session | None = None,
        name: str = "s3",
        archive: bool | None = None,
    ) -> None:
        """Prepare the storage; it connects, and looks for credentials, when it is first used.

        Args:
            options: where and how; None reads everything from the environment.
            session: a ready boto3 session: its credentials are used, and its region unless options name one.
            name: what references call this storage.
            archive: whether an archive copies the payloads; None is yes, except for a part of a split other than its
                default.

        Raises:
            ConfigurationError: a setting is missing or wrong, or obstore and boto3 are not installed.
        """
        require_libraries()
        self._name = storage_name(name)
        self._archive = archive
        self._options = (options or S3Options()).resolved()
        self._connection = S3Connection(self._options, session)
        self._marker = Marker(self._options, self._name)
        self._writers = PerLoop[dict[StreamName, PackWriter]](dict)
        self._reader = PackReader(self._options, self._marker.explain_missing)

    @property
    def name(self) -> str:
        """The name by which references name this storage."""
        return self._name

    @property
    def options(self) -> S3Options:
        """The options it was made with, completed from the environment."""
        return self._options

    @property
    def archive(self) -> bool | None:
        """As it was given."""
        return self._archive

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Return None: S3 cannot write an object together with an entry."""

    def record_log(self, scope: StorageScope) -> RecordLog | None:
        """Return the packs, which are listed by time. That needs s3:ListBucket, too."""
        return PackLog(self._options, self._connection, scope.stream, self._name)

    def hash_beside_stream(
        self, scope: StorageScope, reference: PayloadReference, payload: Payload | None
    ) -> HashWrite | None:
        """Return None: payloads are in S3."""

    def hash_places(self) -> Sequence[HashPlace]:
        """Return nothing: payloads are in S3 alone."""
        return ()

    def check_contract(self, contract: type[Contract]) -> None:
        """Do nothing: every contract fits."""

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Write the record, in one pack with those that are saved at the same time.

        Raises:
            StorageUnavailable: S3 does not answer; the record may or may not have been written.
            ConfigurationError: the bucket does not exist, or the credentials or permissions do not allow it, or its
                marker says that it is another environment's or storage's.
        """
        writer = self._writer(scope.stream)
        with storage_call(self._name, "save", traced=writer.traced):
            key = await writer.save(write_record(record, scope.stream))
        return SavedPayload((PayloadReference(self._name, record.metadata.id_text, key),))

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Read the packs, ``concurrency`` at a time, and call back with the lines of each as soon as it is there.

        A line that is not the event's record counts as gone. A wrong setting is StorageUnavailable here, so that no
        event is dead-lettered because of it; ``check`` reports it at start-up.
        """
        try:
            objects = await self._connection.objects(scope.stream.environment)
        except ConfigurationError as error:
            away = StorageUnavailable(str(error))
            on_payloads((position, away) for position in range(len(references)))
            return
        await self._reader.load(objects, scope, references, on_payloads)

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Remove the arguments from the records, whose packs are written again, each once.

        Raises:
            PayloadGone: a record is not there, or damaged; the others were erased.
            StorageUnavailable, ConfigurationError: S3 does not answer, or refuses; some may be erased.
        """
        objects = await self._connection.objects(scope.stream.environment)
        packs: dict[str, list[tuple[PackLine, str]]] = {}
        damaged: PayloadGone | None = None
        for reference in references:
            try:
                key, line = self._place(scope, reference)
            except PayloadGone as error:
                damaged = error
            else:
                packs.setdefault(key, []).append((line, reference.event_id))

        async def erase(key: str, lines: Sequence[tuple[PackLine, str]]) -> None:
            try:
                await erase_lines(objects, key, scope.stream, lines)
            except PayloadForbidden:
                raise
            except PayloadGone as error:
                environment, written_at = scope.stream.environment, pack_time(key)
                raise await self._marker.explain_missing(objects, environment, key, written_at, error) from error
            finally:
                self._reader.forget(key)

        await gather_all(erase(key, lines) for key, lines in packs.items())
        if damaged is not None:
            raise damaged

    async def remove(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Do nothing: the bucket's lifecycle removes packs."""

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return where the line is: ``s3://<bucket>/<key> (bytes <first>-<last>)``, first and last byte included."""
        bucket = self._options.bucket_of(scope.stream.environment)
        try:
            key, line = self._place(scope, reference)
        except PayloadGone:
            return f"s3://{bucket} (no line of a pack has the key {reference.key})"
        return f"s3://{bucket}/{key} (bytes {line.offset_bytes}-{line.offset_bytes + line.length_bytes - 1})"

    def readable(self) -> Mapping[str, Storage]:
        """Return itself under its name."""
        return {self._name: self}

    async def check(self, scope: StorageScope) -> None:
        """Create the marker, or try to, the first time, and read it, each time.

        That needs exactly the permissions that producing and reading need, and finds out whether the bucket exists and
        is the right one.
        """
        await self._marker.check(await self._connection.objects(scope.stream.environment), scope.stream.environment)

    async def close(self) -> None:
        """Wait for the saves of this event loop, and drop clients and credentials; connections close with them."""
        writers = self._writers.take() or {}
        await gather_all(writer.close() for writer in writers.values())
        self._reader.close()
        self._connection.close()

    def _writer(self, stream: StreamName) -> PackWriter:
        writers = self._writers.get()
        found = writers.get(stream)
        if found is None:
            open_objects = partial(self._connection.objects, stream.environment)
            found = writers[stream] = PackWriter(self._options, stream, self._marker, open_objects)
        return found

    def _place(self, scope: StorageScope, reference: PayloadReference) -> tuple[str, PackLine]:
        try:
            line = PackLine.parse(reference.key)
        except DecodeError as error:
            raise PayloadGone(f"The reference of event {reference.event_id} to S3 is damaged: {error}") from error
        return pack_key(self._options, scope.stream, line.pack_id), line
