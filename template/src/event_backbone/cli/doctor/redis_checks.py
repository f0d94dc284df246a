"""Whether events can be entrusted to the Redis servers, and what these are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from event_backbone.cli.doctor.cluster_checks import check_cluster
from event_backbone.cli.doctor.finding import Finding, fail, ok, warn
from event_backbone.cli.doctor.primaries import Primary, ask_primaries, on_each
from event_backbone.cli.doctor.replica_checks import check_replicas
from event_backbone.cli.doctor.sentinel_checks import check_sentinels
from event_backbone.cli.output import when
from event_backbone.connection import evicts, version_of
from event_backbone.errors import BackboneError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from event_backbone.connection import RedisConnection

_WITHIN = timedelta(seconds=10)
_SILENT = fail("Redis", f"A server has not answered within {_WITHIN.total_seconds():g} seconds; look at its log.")
_UNKNOWN = "cannot be read from this server; ask its provider."
_UNSEEN = (
    "This user may not use INFO, so version, eviction, persistence and replicas cannot be seen; grant it, or ask the "
    "provider."
)


async def check_redis(
    connection: RedisConnection, stream: str, min_replicas: int
) -> tuple[list[Finding], list[Primary]]:
    """Check what the servers are, whether they keep events, and who takes over; also return what was seen of them.

    ``stream`` is the key of the project's stream. If no server can be used, there is one failure that says why.
    """
    refused = await _refused(connection)
    topology = connection.settings.topology
    of_cluster = await _cluster(connection, stream, refused) if topology == "cluster" else []
    primaries = [] if refused == _SILENT else await _primaries(connection)
    if not primaries:
        return [warn("Redis", _UNSEEN) if refused is None else refused, *of_cluster], []
    findings = await _servers(connection, primaries)
    if refused is not None and all(each.level != "fail" for each in findings):
        return [refused], []
    if topology == "sentinel":
        findings.append(await check_sentinels(connection.settings))
    return [*findings, *of_cluster, *check_replicas(primaries, topology, min_replicas)], primaries


async def _refused(connection: RedisConnection) -> Finding | None:
    """Return why producers and workers would not use these servers; None if they would."""
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            with connection.errors():
                await connection.examine()
    except BackboneError as error:
        return fail("Redis", str(error))
    except TimeoutError:
        return _SILENT
    return None


async def _primaries(connection: RedisConnection) -> list[Primary]:
    """Return what INFO says of each; nothing if one denies it or does not answer."""
    try:
        return await ask_primaries(connection)
    except BackboneError:
        return []


async def _cluster(connection: RedisConnection, stream: str, refused: Finding | None) -> list[Finding]:
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            return await check_cluster(connection, stream, refused=refused is not None)
    except (BackboneError, TimeoutError):
        return []  # nobody answers, which is a failure already


async def _servers(connection: RedisConnection, primaries: Sequence[Primary]) -> list[Finding]:
    hidden = any(not each.info.get("maxmemory_policy") for each in primaries)
    policy = await _setting(connection, "maxmemory-policy") if hidden else None
    return [
        *_versions(primaries, connection),
        *on_each(primaries, lambda each: _eviction(each.info, each.info.get("maxmemory_policy") or policy)),
        *on_each(primaries, _persistence),
    ]


def _versions(primaries: Sequence[Primary], connection: RedisConnection) -> list[Finding]:
    settings = connection.settings
    if settings.topology == "cluster":
        number = "1 primary" if len(primaries) == 1 else f"{len(primaries)} primaries"
        return on_each(primaries, lambda each: _version(each, f"in a cluster of {number}"))
    if settings.topology == "sentinel":
        return on_each(primaries, lambda each: _version(each, f"at {each.address}, primary of {settings.service}"))
    return on_each(primaries, lambda each: _version(each, f"at {settings.described}"))


def _version(primary: Primary, place: str) -> Finding:
    version = version_of(primary.info)
    if primary.info.get("role") == "slave":
        named = f"{primary.info.get('master_host')}:{primary.info.get('master_port')}"
        return fail("Redis", f"{version} {place} is a replica, which takes no events; name its primary, {named}.")
    if version.too_old:
        return fail("Redis", f"{version} {place} is too old; run {version.oldest} or later.")
    if not version.text:
        return warn("Redis", f"The version {_UNKNOWN}")
    managed = f", run by {primary.managed_by}" if primary.managed_by else ""
    return ok("Redis", f"{version} {place}{managed}")


def _eviction(info: Mapping[str, str], policy: str | None) -> Finding:
    subject = "Redis eviction"
    if policy is None:
        return warn(subject, f"The eviction policy {_UNKNOWN}")
    evicted = evicts({**info, "maxmemory_policy": policy})
    if evicted == "streams":
        return fail(subject, f"maxmemory-policy is {policy}, which deletes streams; set it to noeviction.")
    if evicted == "expiring keys":
        return warn(subject, f"maxmemory-policy is {policy}, which may delete payloads early; set it to noeviction.")
    return ok(subject, f"maxmemory-policy is {policy}, maxmemory is {info.get('maxmemory', 'unknown')}")


def _persistence(primary: Primary) -> Finding:
    subject, info = "Redis persistence", primary.info
    enabled = info.get("aof_enabled")
    if enabled is None:
        return warn(subject, f"The append-only file {_UNKNOWN}")
    if enabled == "1" and info.get("aof_last_write_status", "ok") != "ok":
        return fail(subject, "The append-only file cannot be written; look at the server's log and disk.")
    if enabled == "1":
        return ok(subject, "The append-only file is on")
    if primary.managed_by:
        return warn(
            subject, f"No append-only file: {primary.managed_by} decides what a restart keeps; see its durability."
        )
    if info.get("rdb_saves", "0") != "0":
        saved = when(datetime.fromtimestamp(int(info["rdb_last_save_time"]), UTC))
        return warn(
            subject,
            f"No append-only file: a restart loses what came after the last snapshot, of {saved}; set appendonly yes.",
        )
    return warn(subject, "No append-only file: a restart loses the latest events; set appendonly yes.")


async def _setting(connection: RedisConnection, name: str) -> str | None:
    """Return one of the server's settings; None when CONFIG is denied, as by most providers."""
    try:
        with connection.errors():
            reply = await connection.command("CONFIG GET", name)
    except BackboneError:
        return None
    values = cast("list[bytes]", reply)
    return values[1].decode() if len(values) > 1 else None
