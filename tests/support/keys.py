"""Finds keys that nothing would ever remove."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from redis.asyncio import Redis


async def assert_no_leaked_keys(client: Redis, allowed: Iterable[str] = ()) -> None:
    """Fail when a key is left that is not a stream, does not expire, and matches none of the allowed glob patterns.

    A stream is kept on purpose and trimmed by its own rules; everything else must expire or be declared here.
    """
    patterns = tuple(allowed)
    leaked: list[str] = []
    for key in sorted(map(_text, await client.keys())):
        if any(fnmatchcase(key, pattern) for pattern in patterns):
            continue
        kind = _text(await client.type(key))
        if kind != "stream" and await client.pttl(key) == -1:
            leaked.append(f"{key} ({kind})")
    assert not leaked, f"keys that never expire: {', '.join(leaked)}"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
