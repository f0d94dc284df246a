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
_BITS = 64
_SEQUENCE = (1 << _BITS) - 1


class KnownLetters:
    """The entries of one stream's dead letters. Holds about 70 bytes for each.

    Later ones are found by the script that removes entries; that there are others than these, too.
    """

    def __init__(self, retaining: RedisRetaining) -> None:
        """Know none yet."""
        self._retaining = retaining
        self._oldest: dict[str, str] = {}
        self._newest: dict[str, str] = {}
        self._sources: dict[str, array[int]] = {}
        self._sorted: list[int] | None = None  # sorts ten times as fast as keys do

    async def read(self, groups: Iterable[GroupLife], *, again: bool = False) -> None:
        """Read the dead letters of these groups: only later ones where nothing else has changed, unless ``again``.

        Raises StreamUnavailable.
        """
        counts = {each.name: each.dead_letters for each in groups}
        for gone in self._sources.keys() - counts.keys():
            self._drop(gone)
        for group, count in counts.items():
            if again or self._count(group) > count:
                self._drop(group)
            if self._count(group) < count:
                await self._read_on(group)
            if self._count(group) < count:
                self._drop(group)
                await self._read_on(group)

    def forget(self) -> None:
        """Know none any more."""
        for group in tuple(self._sources):
            self._drop(group)

    @property
    def known(self) -> Mapping[str, tuple[str, str, int]]:
        """The ids of the oldest and the newest dead letter of each group, and how many are known."""
        return {
            group: (self._oldest.get(group, ""), self._newest[group], self._count(group)) for group in self._sources
        }

    def sources_after(self, key: EventKey, most: int) -> Sequence[EventKey]:
        """Return the keys of up to ``most`` events after this key, in order."""
        if self._sorted is None:
            pairs = [zip(each[::2], each[1::2], strict=True) for each in self._sources.values()]
            self._sorted = sorted({_number(*pair) for some in pairs for pair in some})
        first = bisect_right(self._sorted, _number(key.milliseconds, key.sequence))
        return [EventKey(each >> _BITS, each & _SEQUENCE, key.partition) for each in self._sorted[first : first + most]]

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


def _number(milliseconds: int, sequence: int) -> int:
    """Return a number that is ordered as keys are."""
    return milliseconds << _BITS | sequence
