"""Where the tests of the acceptance list run: in memory, on Redis, and on Redis with payloads in S3."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from event_backbone import Backbone, HandleInterceptor, ProduceInterceptor
from event_backbone.storage import MemoryStorage, RedisHashStorage, S3Options, S3Storage, Storage
from event_backbone.testing import memory_backbone

KINDS = ("memory", "redis", "s3")
ON_SERVERS = pytest.mark.parametrize("deployment", ["redis", "s3"], indirect=True)
"""For tests that need several backbones on the same streams, which memory does not offer."""


@dataclass(frozen=True)
class Deployment:
    """Makes backbones. ``redis`` is None in memory, ``s3`` where payloads are not in S3."""

    redis: str | None
    s3: S3Options | None

    def storage(self) -> Storage:
        """Return a storage of the kind that payloads have here."""
        if self.s3 is not None:
            return S3Storage(self.s3)
        return MemoryStorage() if self.redis is None else RedisHashStorage()

    def backbone(
        self,
        *,
        environment: str = "test",
        storage: Storage | None = None,
        produce_interceptors: Iterable[ProduceInterceptor] = (),
        handle_interceptors: Iterable[HandleInterceptor] = (),
    ) -> Backbone:
        """Return a backbone that is not open yet; ``storage`` is as above unless it is given."""
        if self.redis is None:
            return memory_backbone(
                storage,
                environment=environment,
                produce_interceptors=produce_interceptors,
                handle_interceptors=handle_interceptors,
            )
        return Backbone(
            self.redis,
            storage=storage or self.storage(),
            environment=environment,
            produce_interceptors=produce_interceptors,
            handle_interceptors=handle_interceptors,
        )
