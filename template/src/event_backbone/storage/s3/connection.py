"""The clients of S3: each opened when it is first used, in a thread, and shared from then on."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from event_backbone.storage.s3.options import S3Options

if TYPE_CHECKING:
    import boto3

    from event_backbone.storage.s3.access import S3Access
    from event_backbone.storage.s3.objects import S3Objects


class S3Connection:
    """Opens the client of each bucket once. May be used from several event loops and threads."""

    def __init__(self, options: S3Options, session: boto3.Session | None) -> None:
        """Prepare a connection with resolved options; it looks for credentials when it is first used."""
        self._options = options
        self._session = session
        self._access: S3Access | None = None
        self._opened: dict[str, S3Objects] = {}
        self._opening = threading.Lock()

    async def objects(self, environment: str) -> S3Objects:
        """Return the objects in the bucket of an environment.

        Raises:
            ConfigurationError: credentials, profile or region are missing, or the settings do not fit together.
        """
        bucket = self._options.bucket_of(environment)
        opened = self._opened.get(bucket)
        return await asyncio.to_thread(self._open, bucket) if opened is None else opened

    def close(self) -> None:
        """Drop clients and credentials; connections close with them. A later call opens them again."""
        with self._opening:
            self._opened.clear()
            self._access = None

    def _open(self, bucket: str) -> S3Objects:
        """Import the libraries, find credentials, and open the bucket's client: half a second, in a thread."""
        from event_backbone.storage.s3.access import find_access  # noqa: PLC0415 - see above
        from event_backbone.storage.s3.objects import S3Objects  # noqa: PLC0415

        with self._opening:
            if bucket not in self._opened:
                self._access = self._access or find_access(self._options, self._session)
                self._opened[bucket] = S3Objects(bucket, self._options, self._access)
            return self._opened[bucket]
