"""Sets fields of frozen objects as fast as those of ordinary ones (fast path, see decision 0005)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast


def setter_of(owner: type, slot: str) -> Callable[[object, object], None]:
    """Return a function that sets one slot of objects of a frozen class."""
    return cast("Callable[[object, object], None]", getattr(owner, slot).__set__)
