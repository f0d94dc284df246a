"""Makes immutable objects as fast as ordinary ones (fast path, see decision 0005)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, cast

T = TypeVar("T")


class _NewNamedTuple(Protocol):
    def __call__(self, kind: type[T], values: tuple[object, ...], /) -> T: ...


new_named_tuple = cast("_NewNamedTuple", tuple.__new__)
"""Returns a named tuple of this class with all these values, at half the cost of calling the class."""


def setter_of(owner: type, slot: str) -> Callable[[object, object], None]:
    """Return a function that sets one slot of objects of a frozen class."""
    return cast("Callable[[object, object], None]", getattr(owner, slot).__set__)
