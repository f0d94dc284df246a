"""Objects in memory, which count their requests and take as long as a test says."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from event_backbone.errors import PayloadGone


@dataclass
class CountingStore:
    """An ``ObjectStore``.

    Attributes:
        latency: how many seconds each request takes.
        taken: how many of the next packs find another object under their name.
        lost: how many of the next packs are written without an answer, and tried again.
        errors: what the next packs raise.
        asked_at: when each pack was to be written.
        sizes: the numbers of their lines.
        ranges: first byte and length of each part of an object that was read.
        reading: how many reads are under way.
        pages: how many pages of keys were listed.
    """

    latency: float = 0
    taken: int = 0
    lost: int = 0
    errors: list[Exception] = field(default_factory=list[Exception])
    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])
    asked_at: list[float] = field(default_factory=list[float])
    sizes: list[int] = field(default_factory=list[int])
    reads: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    reading: int = 0
    pages: int = 0

    @property
    def packs(self) -> dict[str, bytes]:
        """The objects that are packs."""
        return {key: body for key, body in self.objects.items() if key.endswith(".jsonl")}

    async def create(self, key: str, body: bytes, *, content_type: str = "application/json") -> bool:
        """Write an object that does not exist."""
        if not key.endswith(".jsonl"):
            return self.objects.setdefault(key, body) is body
        assert key not in self.objects
        self.asked_at.append(asyncio.get_running_loop().time())
        self.sizes.append(body.count(b"\n"))
        await asyncio.sleep(self.latency)
        if self.errors:
            raise self.errors.pop(0)
        if self.taken:
            self.taken -= 1
            self.objects[key] = b"another's"
            return False
        self.objects[key] = body
        if self.lost:
            self.lost -= 1
            return False
        return True

    async def read(self, key: str) -> bytes:
        """Return an object."""
        self.reads += 1
        return await self._read(key)

    async def read_range(self, key: str, first: int, length: int) -> bytes:
        """Return a part of an object."""
        self.ranges.append((first, length))
        return (await self._read(key))[first : first + length]

    async def list_keys(self, prefix: str, after: str | None = None) -> AsyncGenerator[list[str], None]:
        """Yield the keys below a folder, two at a time."""
        keys = sorted(key for key in self.objects if key.startswith(prefix.rstrip("/") + "/") and key > (after or ""))
        for first in range(0, len(keys), 2):
            await asyncio.sleep(self.latency)
            self.pages += 1
            yield keys[first : first + 2]

    async def list_folders(self, prefix: str) -> list[str]:
        """Return the names of the folders in a folder."""
        below = [key.removeprefix(prefix) for key in self.objects if key.startswith(prefix)]
        return sorted({key.partition("/")[0] for key in below if "/" in key})

    async def _read(self, key: str) -> bytes:
        found = self.objects.get(key)
        self.reading += 1
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.reading -= 1
        if found is None:
            raise PayloadGone(key)
        return found
