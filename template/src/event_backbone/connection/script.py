"""A Lua script that runs in the server."""

from dataclasses import dataclass, field
from hashlib import sha1

ALLOW_OOM = "#!lua flags=allow-oom\n"
"""Begins a script that a full server must run too, as it frees memory or writes a few bytes."""


@dataclass(frozen=True)
class Script:
    """A script's source, and the digest by which a server that has seen it knows it."""

    source: str
    digest: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute the digest."""
        object.__setattr__(self, "digest", sha1(self.source.encode(), usedforsecurity=False).hexdigest())
