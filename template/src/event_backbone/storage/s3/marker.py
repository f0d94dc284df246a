"""The marker: a small object beside the packs that says whose they are."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from pydantic_core import from_json, to_json

from event_backbone.errors import ConfigurationError, PayloadForbidden, PayloadGone, StorageUnavailable
from event_backbone.storage.per_loop import PerLoop
from event_backbone.storage.s3.keys import marker_key
from event_backbone.storage.s3.options import BUCKET_VARIABLE, S3Options

if TYPE_CHECKING:
    from event_backbone.storage.s3.object_store import ObjectStore

_FORMAT = 1
_MOST_BYTES = 1000
_KEPT = timedelta(seconds=5).total_seconds()
_CLOCKS_DIFFER_BY = timedelta(minutes=1).total_seconds()


class Marker:
    """Guards against a wrong bucket, prefix, environment or storage name. May be used from several event loops.

    Nothing is written where there is another marker. Without the right one a missing object proves nothing: the bucket
    may be the wrong one, or may have been emptied. Once seen, a marker is never created again by the same process, so
    that one that was removed stays missing until a person has looked into it. Another process may create it again, so
    it says when it was created: what was written before that is not expected to be there, and not lost either.
    """

    def __init__(self, options: S3Options, storage: str) -> None:
        """Guard the bucket of these options, for the storage of this name."""
        self._options = options
        self._storage = storage
        self._seen: set[str] = set()
        self._problems: dict[str, tuple[float, str | None]] = {}
        self._created: dict[str, float] = {}
        self._asking = PerLoop(asyncio.Lock)

    async def require(self, objects: ObjectStore, environment: str) -> None:
        """Before something is written: create the marker, or find that it is the right one. Costs nothing once seen.

        Raises:
            ConfigurationError: the marker is another one, or may not be read.
            StorageUnavailable: S3 does not answer.
        """
        if environment in self._seen:
            return
        async with self._asking.get():
            if environment not in self._seen:
                if await objects.create(self._key(environment), self._new(environment)):
                    self._seen.add(environment)
                else:
                    await self._require_right(objects, environment)

    async def check(self, objects: ObjectStore, environment: str) -> None:
        """Create the marker unless it was seen, and read it: what it takes to produce and to read.

        Raises:
            ConfigurationError: the marker is another one, or may not be read or written.
            StorageUnavailable: S3 does not answer, or the marker has disappeared.
        """
        if environment not in self._seen:
            await objects.create(self._key(environment), self._new(environment))
        await self._require_right(objects, environment)

    async def explain_missing(
        self, objects: ObjectStore, environment: str, key: str, written_at: float | None, error: PayloadGone
    ) -> PayloadGone | StorageUnavailable:
        """Return what it means that S3 has no object with this key: ``error`` if the marker is right, else an outage.

        ``written_at`` says when the object was written, in seconds since 1970 by the writer's clock; None is unknown,
        and does not show whether it was there before the marker.

        That it is right counts only if S3 was asked after the object was found to be missing; one question serves all
        who wait. Anything else is remembered for 5 s.
        """
        called = time.monotonic()
        async with self._asking.get():
            asked, problem = self._problems.get(environment, (-_KEPT, None))
            if asked < called and (problem is None or asked < time.monotonic() - _KEPT):
                asked = time.monotonic()
                problem = await self._problem(objects, environment)
                self._problems[environment] = (asked, problem)
        if problem is None and written_at is not None and written_at < self._created[environment] - _CLOCKS_DIFFER_BY:
            problem = (
                f"The S3 bucket {self._options.bucket_of(environment)} was emptied or made again after {key} was "
                "written, as event-backbone.json says; restore its objects, or restore that file if they may be lost."
            )
        return error if problem is None else StorageUnavailable(problem)

    async def _problem(self, objects: ObjectStore, environment: str) -> str | None:
        try:
            await self._require_right(objects, environment)
        except (ConfigurationError, StorageUnavailable) as error:
            return str(error)
        return None

    async def _require_right(self, objects: ObjectStore, environment: str) -> None:
        bucket, key = self._options.bucket_of(environment), self._key(environment)
        try:
            found = await objects.read(key)
        except PayloadForbidden as error:
            raise ConfigurationError(
                f"S3 has no {key} in bucket {bucket}, or forbids reading it: grant s3:GetObject."
            ) from error
        except PayloadGone as error:
            raise StorageUnavailable(
                f"The S3 bucket {bucket} has no {key}: it was emptied, or {BUCKET_VARIABLE} or prefix is wrong; "
                "restore its objects, or correct the setting."
            ) from error
        ours = self._content(environment)
        if _normal(found) != ours:
            raise ConfigurationError(
                f"s3://{bucket}/{key} says {_normal(found).decode()}, and this is {ours.decode()}: use another bucket "
                "or prefix, or correct the environment or the storage's name."
            )
        self._created[environment] = _created(found)
        self._seen.add(environment)

    def _new(self, environment: str) -> bytes:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return self._content(environment)[:-1] + b',"created":' + to_json(created) + b"}\n"

    def _key(self, environment: str) -> str:
        return marker_key(self._options, environment)

    def _content(self, environment: str) -> bytes:
        # With "nothing", all environments share the bucket.
        return _content(_FORMAT, None if self._options.environment_in == "nothing" else environment, self._storage)


def _content(version: object, environment: object, storage: object) -> bytes:
    return to_json({"format": version, "environment": environment, "storage": storage})


def _normal(found: bytes) -> bytes:
    """Return what a marker says, without white space and without members that a later version may add."""
    try:
        members: object = from_json(found[:_MOST_BYTES])
    except ValueError:
        members = None
    if not isinstance(members, dict):
        return b"something else"
    said = cast("dict[str, object]", members)
    values = [said.get(name) for name in ("format", "environment", "storage")]
    if not all(isinstance(value, str | int | None) for value in values):
        return b"something else"
    return _content(*values)


def _created(found: bytes) -> float:
    """Return when a marker was created, in seconds since 1970; 0 if it does not say so."""
    created = cast("dict[str, object]", from_json(found[:_MOST_BYTES])).get("created")
    try:
        return datetime.fromisoformat(str(created)).timestamp()
    except ValueError:
        return 0.0
