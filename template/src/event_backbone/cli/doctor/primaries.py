"""The servers that take writes, each as its INFO describes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast

from event_backbone.connection import info_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from event_backbone.cli.doctor.finding import Finding
    from event_backbone.connection import RedisConnection

_IN_SYNC = "online"


class Replica(NamedTuple):
    """A replica, as its primary sees it."""

    address: str
    state: str
    silent_seconds: int
    behind_bytes: int

    @property
    def in_sync(self) -> bool:
        """Whether it follows the primary, however far behind it is."""
        return self.state == _IN_SYNC


class Primary(NamedTuple):
    """A server that takes writes: the only one, or one of a cluster's."""

    address: str
    info: Mapping[str, str]

    @property
    def replicas(self) -> list[Replica]:
        """Its replicas."""
        return list(_replicas(self.info))

    @property
    def in_sync(self) -> int:
        """How many replicas follow it."""
        return sum(each.in_sync for each in self.replicas)

    @property
    def managed_by(self) -> str:
        """The service that says in INFO that it runs this server; empty if none does."""
        system = self.info.get("os", "")
        if system.startswith("Amazon"):
            return system
        return "Redis Enterprise" if "rlec_version" in self.info else ""


async def ask_primaries(connection: RedisConnection) -> list[Primary]:
    """Ask each for INFO. Raises BackboneError if one does not answer or denies that."""
    with connection.errors():
        replies = await connection.command_on_each("INFO")
    return [Primary(address, info_fields(cast("bytes", reply))) for address, reply in sorted(replies.items())]


def on_each(primaries: Sequence[Primary], check: Callable[[Primary], Finding]) -> list[Finding]:
    """Check each; what is the same for all is said once, anything else with the addresses it is about."""
    found: dict[Finding, list[str]] = {}
    for each in primaries:
        found.setdefault(check(each), []).append(each.address)
    if len(found) == 1:
        return list(found)
    return [replace(one, text=f"{', '.join(addresses)}: {one.text}") for one, addresses in found.items()]


def _replicas(info: Mapping[str, str]) -> Iterator[Replica]:
    for number in range(int(info.get("connected_slaves", "0"))):
        fields = dict(part.split("=", 1) for part in info.get(f"slave{number}", "").split(",") if "=" in part)
        if fields:
            behind = int(info.get("master_repl_offset", "0")) - int(fields.get("offset", "0"))
            yield Replica(
                f"{fields.get('ip', '')}:{fields.get('port', '')}",
                fields.get("state", ""),
                int(fields.get("lag", "0")),
                max(behind, 0),
            )
