"""Which events are dead letters: known here, so that Redis need not look through all dead letters in each step."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from event_backbone.model import EventKey

if TYPE_CHECKING:
    from event_backbone.stream.redis.retaining import RedisRetaining
    from event_backbone.stream.redis.retention_values import GroupLife

_PAGE = 500
_NONE = "0-0"


class KnownLetters:
    """The entries of one stream's dead letters. Holds 16 bytes for each.

    Later ones are found by the script that removes entries; that there are others than these, too.
    """

    def __init__(self, retaining: RedisRetaining) -> None:
        """Know none yet."""
        self._retaining = retaining
        self._oldest: dict[str, str] = {}
        self._newest: dict[str, str] = {}
        self._sources: dict[str, array[int]] = {}
        self._sorted: list[EventKey] | None = None

    async def read(self, groups: Iterable[GroupLife], *, again: bool = False) -> None:
        """Read the dead letters of these groups: only later ones where nothing else has changed, unless ``again``.

        Raises StreamUnavailable.
        """
        counts = {each.name: each.dead_letters for each in groups}
        for gone in self._sources.keys() - counts.keys():
            self._drop(gone)
        for group, count in counts.items():
            if again:
                self._drop(group)
            if self._count(group) < count:
                await self._read_on(group)
            if self._count(group) != count:
                self._drop(group)
                await self._read_on(group)

    @property
    def known(self) -> Mapping[str, tuple[str, str, int]]:
        """The ids of the oldest and the newest dead letter of each group, and how many are known."""
        return {
            group: (self._oldest.get(group, ""), self._newest[group], self._count(group)) for group in self._sources
        }

    def sources_after(self, key: EventKey, most: int) -> Sequence[EventKey]:
        """Return the keys of up to ``most`` events after this key, in order."""
        if self._sorted is None:
            pairs = {pair for each in self._sources.values() for pair in zip(each[::2], each[1::2], strict=True)}
            self._sorted = [EventKey(milliseconds, sequence, key.partition) for milliseconds, sequence in sorted(pairs)]
        first = bisect_right(self._sorted, key)
        return self._sorted[first : first + most]

    async def _read_on(self, group: str) -> None:
        sources = self._sources.setdefault(group, array("Q"))
        self._newest.setdefault(group, _NONE)
        while letters := await self._retaining.letters(group, self._newest[group], _PAGE):
            self._sorted = None
            self._oldest.setdefault(group, letters[0][0])
            for _, source in letters:
                sources.extend((source.milliseconds, source.sequence))
            self._newest[group] = letters[-1][0]
            if len(letters) < _PAGE:
                return

    def _drop(self, group: str) -> None:
        self._sources.pop(group, None)
        self._oldest.pop(group, None)
        self._newest.pop(group, None)
        self._sorted = None

    def _count(self, group: str) -> int:
        return len(self._sources.get(group, ())) // 2
