"""Whether a cluster serves every slot, and which node has the project's stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from event_backbone.cli.doctor.finding import Finding, fail, ok, warn
from event_backbone.connection import info_fields
from event_backbone.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from event_backbone.connection import RedisConnection

_SUBJECT = "Cluster"
_SLOTS = 16384
_PRIMARY = "master"
_PRESENT = {"online", "loading"}
_UNSEEN = "This user may not use CLUSTER {0}, so {1} cannot be seen; grant it, or ask the provider."


class _Node(NamedTuple):
    address: str
    role: str
    health: str


class _Shard(NamedTuple):
    slots: list[tuple[int, int]]
    nodes: list[_Node]


async def check_cluster(connection: RedisConnection, stream: str, *, refused: bool) -> list[Finding]:
    """Check the state of the cluster as one of its nodes sees it, and find the node of the stream with this key.

    What this user may not ask is a warning, unless the servers are ``refused``, so that all else fails too. Raises
    StreamUnavailable if no node answers.
    """
    findings = [*await _state(connection), *await _shards(connection, stream)]
    return [each for each in findings if not (refused and each in _unseen(stream))]


def _unseen(stream: str) -> list[Finding]:
    """Return what is said if CLUSTER INFO is denied, and if CLUSTER SHARDS is."""
    return [
        warn(_SUBJECT, _UNSEEN.format("INFO", "its state")),
        warn(_SUBJECT, _UNSEEN.format("SHARDS", f"which node has {stream}")),
    ]


async def _state(connection: RedisConnection) -> list[Finding]:
    try:
        with connection.errors():
            seen = info_fields(cast("bytes", await connection.command("CLUSTER", "INFO")))
    except ConfigurationError:
        return _unseen("")[:1]
    unserved = _SLOTS - int(seen.get("cluster_slots_ok", _SLOTS))
    if unserved:
        return [
            fail(
                _SUBJECT,
                f"{unserved:,} of {_SLOTS:,} slots are not served; bring their node back, or give them to another one.",
            )
        ]
    if seen.get("cluster_state", "ok") != "ok":
        return [fail(_SUBJECT, "It is down, as most primaries cannot be reached; look at their logs.")]
    return []


async def _shards(connection: RedisConnection, stream: str) -> list[Finding]:
    try:
        with connection.errors():
            slot = cast("int", await connection.command("CLUSTER", "KEYSLOT", stream))
            shards = list(_read(await connection.command("CLUSTER", "SHARDS")))
    except ConfigurationError:
        return _unseen(stream)[1:]
    findings: list[Finding] = []
    lost = sorted(node.address for shard in shards for node in shard.nodes if node.health not in _PRESENT)
    if lost:
        findings.append(warn(_SUBJECT, f"Lost: {', '.join(lost)}; start it again, or let the others forget it."))
    owner = next((each for each in shards if any(first <= slot <= last for first, last in each.slots)), None)
    primary = None if owner is None else next((each for each in owner.nodes if each.role == _PRIMARY), None)
    if primary is not None and primary.health in _PRESENT:
        findings.append(ok(_SUBJECT, f"{stream} is in slot {slot}, on {primary.address}"))
    return findings


def _read(reply: object) -> Iterator[_Shard]:
    for shard in cast("Sequence[object]", reply):
        fields = _fields(shard)
        bounds = [int(cast("int", each)) for each in cast("Sequence[object]", fields["slots"])]
        nodes = [_node(each) for each in cast("Sequence[object]", fields["nodes"])]
        yield _Shard(list(zip(bounds[::2], bounds[1::2], strict=True)), nodes)


def _node(reply: object) -> _Node:
    fields = _fields(reply)
    host = _text(fields.get("endpoint")) or _text(fields.get("ip"))
    return _Node(
        f"{host}:{fields.get('port') or fields.get('tls-port')}", _text(fields["role"]), _text(fields["health"])
    )


def _fields(reply: object) -> dict[str, object]:
    """Read names and values in turn."""
    parts = cast("Sequence[object]", reply)
    return {_text(name): value for name, value in zip(parts[::2], parts[1::2], strict=True)}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else ""
