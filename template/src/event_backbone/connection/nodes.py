"""Which server has a key: always the same one, the primary that Sentinels name, or a node of a cluster."""

from __future__ import annotations

from typing import Protocol

from redis.exceptions import RedisError

from event_backbone.connection.node import Node


class Nodes(Protocol):
    """The servers of an endpoint. No method sends a command of the caller."""

    def known(self, key: str) -> Node | None:
        """Return the server that has this key, as far as that is known without asking."""
        ...

    async def find(self, key: str | None) -> Node:
        """Return the server that has this key; without a key, any primary. Raises what hinders finding it."""
        ...

    async def primaries(self) -> list[Node]:
        """Return every server that takes writes."""
        ...

    def guarded(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """Return the keys that a script has to name: these, and what keeps it from running on a half-moved slot."""
        ...

    async def redirect(self, error: RedisError) -> tuple[Node, bool] | None:
        """Return where to send what was refused by this error, and whether as ASKING; None if it is to be raised."""
        ...

    def lost(self, node: Node) -> None:
        """Note that a connection to this server was lost: the next ``find`` asks again."""
        ...

    async def forget_connections(self) -> None:
        """Close idle connections, and find the servers again."""
        ...

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        ...


def hash_tag(key: str) -> str:
    """Return the part of a key of this package that decides its slot in a cluster: the stream's key."""
    return key[1 : key.index("}")] if key[0] == "{" else key
