"""Is the Redis server one that events can be entrusted to?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from event_backbone.cli.doctor.finding import Finding, fail, ok, warn
from event_backbone.connection import evicts, info_fields
from event_backbone.errors import BackboneError

if TYPE_CHECKING:
    from event_backbone.connection import RedisConnection

_OLDEST = {"Redis": (7, 0), "Valkey": (7, 2)}
_UNKNOWN = "may not be asked of this server; look it up with your provider."


async def check_redis(connection: RedisConnection) -> list[Finding]:
    """Look at the server's version, its eviction policy, and whether it keeps events over a restart."""
    try:
        with connection.errors():
            info = _info(await connection.command("INFO"))
    except BackboneError as error:
        return [fail("Redis", str(error))]
    return [
        _version(info, connection.settings.described),
        _eviction(info, info.get("maxmemory_policy") or await _setting(connection, "maxmemory-policy")),
        _append_only(info.get("aof_enabled")),
    ]


def _version(info: dict[str, str], address: str) -> Finding:
    name = "Valkey" if "valkey_version" in info else "Redis"
    text = info.get("valkey_version") or info.get("redis_version", "0")
    version = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    oldest = _OLDEST[name]
    if version < oldest:
        return fail("Redis", f"{name} {text} at {address} is too old; run {name} {oldest[0]}.{oldest[1]} or later.")
    return ok("Redis", f"{name} {text} at {address}")


def _eviction(info: dict[str, str], policy: str | None) -> Finding:
    subject = "Redis eviction"
    if policy is None:
        return warn(subject, f"The eviction policy {_UNKNOWN}")
    evicted = evicts({**info, "maxmemory_policy": policy})
    if evicted == "streams":
        return fail(subject, f"maxmemory-policy is {policy}, which deletes streams; set it to noeviction.")
    if evicted == "expiring keys":
        return warn(subject, f"maxmemory-policy is {policy}, which may delete payloads early; set it to noeviction.")
    return ok(subject, f"maxmemory-policy is {policy}, maxmemory is {info.get('maxmemory', 'unknown')}")


def _append_only(enabled: str | None) -> Finding:
    subject = "Redis persistence"
    if enabled is None:
        return warn(subject, f"The append-only file {_UNKNOWN}")
    if enabled != "1":
        return warn(subject, "No append-only file: a restart loses the latest events; set appendonly yes.")
    return ok(subject, "The append-only file is on")


async def _setting(connection: RedisConnection, name: str) -> str | None:
    """Return one of the server's settings; None when it may not be asked, as with most providers."""
    try:
        with connection.errors():
            reply = await connection.command("CONFIG GET", name)
    except BackboneError:
        return None
    values = cast("dict[object, object] | list[object]", reply)
    found = list(values.values())[0:1] if isinstance(values, dict) else values[1:2]
    return found[0].decode() if found and isinstance(found[0], bytes) else None


def _info(reply: object) -> dict[str, str]:
    """Return the fields of INFO, whether redis-py has parsed them or not."""
    if isinstance(reply, dict):
        return {str(name): str(value) for name, value in cast("dict[object, object]", reply).items()}
    return info_fields(reply) if isinstance(reply, bytes) else {}
