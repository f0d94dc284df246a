"""What each Sentinel of an endpoint sees: for the doctor, which names all that is wrong there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, cast

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from event_backbone.connection.errors import prefix_of
from event_backbone.connection.pool import Commands, commands_of, new_pool
from event_backbone.settings import RedisSettings

_ANSWER_WITHIN = timedelta(seconds=2)


class SentinelView(NamedTuple):
    """What one Sentinel sees: the primary as ``host:port``, how many Sentinels there are with it, and the quorum.

    ``refusal`` is why no failover could be carried out now: empty if one could, None if this user may not ask.
    """

    primary: str
    sentinels: int
    quorum: int
    refusal: str | None


async def ask_sentinels(settings: RedisSettings) -> dict[str, SentinelView | None]:
    """Ask all Sentinels at once; None stands for one that does not answer, or does not monitor the service."""
    views = await asyncio.gather(*(_ask(settings, each) for each in settings.servers))
    return dict(zip(settings.servers, views, strict=True))


async def _ask(settings: RedisSettings, server: str) -> SentinelView | None:
    for credentials in (False, True):
        url = settings.sentinel_url(server, credentials=credentials)
        pool = new_pool(url, connections=1, answer_within=_ANSWER_WITHIN)
        try:
            return await _view(commands_of(Redis(connection_pool=pool)), settings.service)
        except AuthenticationError:
            continue
        except RedisError:
            return None
        finally:
            await pool.aclose()
    return None


async def _view(commands: Commands, service: str) -> SentinelView | None:
    for each in cast("Sequence[object]", await commands.execute_command("SENTINEL", "MASTERS")):
        parts = [cast("bytes", part).decode() for part in cast("Sequence[object]", each)]
        state = dict(zip(parts[::2], parts[1::2], strict=True))
        if state["name"] == service:
            primary = f"{state['ip']}:{state['port']}"
            others = int(state["num-other-sentinels"])
            return SentinelView(primary, others + 1, int(state["quorum"]), await _refusal(commands, service))
    return None


async def _refusal(commands: Commands, service: str) -> str | None:
    try:
        await commands.execute_command("SENTINEL", "CKQUORUM", service)
    except ResponseError as error:
        return str(error).removeprefix("NOQUORUM ") if prefix_of(error) == "NOQUORUM" else None
    return ""
