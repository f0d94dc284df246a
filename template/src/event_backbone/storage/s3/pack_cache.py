"""Packs that were read lately, for those who read other lines of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import timedelta
from time import monotonic
from typing import NamedTuple

KEPT_FOR = timedelta(seconds=60)
"""How old a pack in the cache may be: for so long, erasing by another process may go unnoticed."""

_ENTRY_BYTES = 512  # what a pack costs beside its own bytes
_MOST_LONE = 4096


class PackPlace(NamedTuple):
    """Which pack: the environment, which decides on the bucket, and the object's key."""

    environment: str
    key: str


class PackCache:
    """Whole packs, bounded in bytes and in age; the one that came first goes first.

    The event loops and threads that use one storage share it, so that its bound is the storage's, and all of them see
    at once when one erases. Its lock is never held while anything is waited for.
    """

    def __init__(self, most_bytes: int, kept_for: timedelta = KEPT_FOR) -> None:
        """Keep at most so many bytes, none of them longer than ``kept_for``; 0 bytes keep nothing."""
        self._most_bytes = most_bytes
        self._kept_seconds = kept_for.total_seconds()
        self._packs: OrderedDict[PackPlace, tuple[float, bytes]] = OrderedDict()
        self._lone: OrderedDict[PackPlace, float] = OrderedDict()
        self._bytes = 0
        self._forgotten = 0
        self._lock = threading.Lock()

    @property
    def forgotten(self) -> int:
        """How often something was forgotten: what was read before the last time may not be kept."""
        return self._forgotten

    def get(self, place: PackPlace) -> bytes | None:
        """Return a pack's bytes if they are here and not too old."""
        oldest = monotonic() - self._kept_seconds
        with self._lock:
            read_at, pack = self._packs.get(place, (oldest, None))
            if read_at < oldest:
                self._drop(place)
                return None
        return pack

    def keep(self, place: PackPlace, pack: bytes, read_at: float, forgotten: int) -> None:
        """Keep a pack; ``read_at`` (monotonic, in seconds) and ``forgotten`` are from before it was read."""
        with self._lock:
            if forgotten != self._forgotten or len(pack) + _ENTRY_BYTES > self._most_bytes:
                return
            self._drop(place)
            self._packs[place] = read_at, pack
            self._bytes += len(pack) + _ENTRY_BYTES
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._packs)))

    def forget(self, key: str) -> None:
        """Forget the packs of this key, those that are being read included."""
        with self._lock:
            self._forgotten += 1
            for place in [place for place in self._packs if place.key == key]:
                self._drop(place)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._forgotten += 1
            self._packs.clear()
            self._lone.clear()
            self._bytes = 0

    def is_wanted_again(self, place: PackPlace) -> bool:
        """Note that a single line of a pack is wanted; return whether that was so shortly before: then all of it pays.

        Never if nothing can be kept.
        """
        now = monotonic()
        with self._lock:
            before = self._lone.pop(place, None)
            if before is not None and now - before < self._kept_seconds:
                return True
            if self._most_bytes > 0:
                self._lone[place] = now
            if len(self._lone) > _MOST_LONE:
                self._lone.popitem(last=False)
        return False

    def _drop(self, place: PackPlace) -> None:
        _, pack = self._packs.pop(place, (0.0, None))
        if pack is not None:
            self._bytes -= len(pack) + _ENTRY_BYTES
