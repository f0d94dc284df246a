"""Whether a reference leads to the same payload from two streams."""

from __future__ import annotations

from event_backbone.storage.base import Storage, StorageScope
from event_backbone.storage.cached import CachedStorage
from event_backbone.storage.parts import OptionalStorage
from event_backbone.storage.s3 import S3Storage
from event_backbone.storage.s3.keys import packs_folder


def is_same_place(storage: Storage, scope: StorageScope, other: Storage, other_scope: StorageScope) -> bool:
    """Return whether both read the same object in S3 for the same reference.

    That is so for the same bucket, prefix, endpoint, URI and environment. Hashes in Redis go with the events of their
    own stream, so they are never shared.
    """
    ours, theirs = _origin(storage), _origin(other)
    if not (isinstance(ours, S3Storage) and isinstance(theirs, S3Storage)):
        return False
    return scope.stream == other_scope.stream and _folder(ours, scope) == _folder(theirs, other_scope)


def _folder(storage: S3Storage, scope: StorageScope) -> tuple[str | None, str, str]:
    """Return where the packs of a stream are: endpoint, bucket, and what their keys begin with."""
    options = storage.options
    return options.endpoint, options.bucket_of(scope.stream.environment), packs_folder(options, scope.stream)


def _origin(storage: Storage) -> Storage:
    if isinstance(storage, OptionalStorage):
        return _origin(storage.wrapped)
    return storage.origin if isinstance(storage, CachedStorage) else storage
