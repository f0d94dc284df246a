"""Opens what forwards a link, and what compares its sides, wired together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError
from event_backbone.forward.forward_loop import ForwardLoop
from event_backbone.forward.forwarder import Forwarder
from event_backbone.forward.link import Link
from event_backbone.forward.options import ForwardOptions
from event_backbone.forward.payloads import Payloads, Side
from event_backbone.forward.verifying import Verifying
from event_backbone.storage import Storage, StorageScope
from event_backbone.stream.base import Stream
from event_backbone.stream.redis.archive_notes import ArchiveNotes
from event_backbone.stream.redis.forwarding import LinkState, RedisForwarding

if TYPE_CHECKING:
    from event_backbone.forward.verify_report import VerifyReport


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link as a backbone opens it: its stream, where payloads are, and where new ones are saved."""

    stream: Stream
    side: Side
    storage: Storage


def open_forwarder(link: Link, source: End, target: End, options: ForwardOptions, window: timedelta) -> Forwarder:
    """Return a forwarder; ``window`` is how long the target remembers event ids."""
    notes = ArchiveNotes(_redis_of(source.side.scope), source.side.scope.stream)
    payloads = Payloads(link, source.side, target.side, target.storage, copy_payloads=options.copy_payloads)
    loop = ForwardLoop(
        link,
        forwarding_of(target.side.scope),
        (source.stream, source.side, notes),
        (target.stream, target.side),
        payloads,
        options=options,
        window=window,
    )
    return Forwarder(loop, source.stream)


async def links_into(scope: StorageScope) -> list[LinkState]:
    """Return the links into a stream."""
    return await forwarding_of(scope).links()


async def verify(link: Link, source: End, target: End) -> VerifyReport:
    """Compare both sides of a link; raise ConfigurationError if it has not forwarded anything, or something else."""
    state = await forwarding_of(target.side.scope).link(link.name)
    if state is None:
        raise ConfigurationError(f"No link {link.name!r} forwards to stream {link.target}; `forward list` names them.")
    if state.forwards != link.forwards:
        raise ConfigurationError(
            f"Link {link.name!r} forwards something else: {state.forwards}; verify it with the same filter."
        )
    verifying = Verifying(link, (source.stream, source.side), (target.stream, target.side), state.checkpoint)
    return await verifying.run()


def forwarding_of(scope: StorageScope) -> RedisForwarding:
    """Return the links into a stream; raise ConfigurationError for one in memory."""
    return RedisForwarding(_redis_of(scope), scope.stream)


def _redis_of(scope: StorageScope) -> RedisConnection:
    if scope.redis is None:
        raise ConfigurationError("Streams in memory are not forwarded; use a backbone with Redis.")
    return scope.redis
