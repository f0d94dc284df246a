"""Holds a request to S3 on its way, so that a test decides what happens first."""

import asyncio


class Gate:
    """Holds the first request with this method whose path has ``part``; all others pass."""

    def __init__(self, method: str, part: str = ".jsonl.zst") -> None:
        self._method = method
        self._part = part
        self.held = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, method: str, path: str) -> None:
        """Wait for ``opened`` if this is the first such request."""
        if method == self._method and self._part in path and not self.held.is_set():
            self.held.set()
            await self.opened.wait()
