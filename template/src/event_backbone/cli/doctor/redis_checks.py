"""Whether events can be entrusted to the Redis server."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from event_backbone.cli.doctor.finding import Finding, fail, ok, warn
from event_backbone.connection import evicts, info_fields, version_of
from event_backbone.errors import BackboneError

if TYPE_CHECKING:
    from event_backbone.connection import RedisConnection

_UNKNOWN = "cannot be read from this server; ask its provider."


async def check_redis(connection: RedisConnection) -> list[Finding]:
    """Check the server's version, its eviction policy, and whether it keeps events through a restart."""
    try:
        with connection.errors():
            info = info_fields(cast("bytes", await connection.command("INFO")))
    except BackboneError as error:
        return [fail("Redis", str(error))]
    return [
        _version(info, connection.settings.described),
        _eviction(info, info.get("maxmemory_policy") or await _setting(connection, "maxmemory-policy")),
        _append_only(info.get("aof_enabled")),
    ]


def _version(info: dict[str, str], address: str) -> Finding:
    version = version_of(info)
    if version.too_old:
        return fail("Redis", f"{version} at {address} is too old; run {version.oldest} or later.")
    if not version.text:
        return warn("Redis", f"The version {_UNKNOWN}")
    return ok("Redis", f"{version} at {address}")


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
    """Return one of the server's settings; None when CONFIG is denied, as by most providers."""
    try:
        with connection.errors():
            reply = await connection.command("CONFIG GET", name)
    except BackboneError:
        return None
    values = cast("list[bytes]", reply)
    return values[1].decode() if len(values) > 1 else None
