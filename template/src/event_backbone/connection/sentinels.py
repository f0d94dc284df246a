"""Asks Sentinels where the primary of a service is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple, Protocol, cast

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from event_backbone.connection.errors import Unreachable
from event_backbone.connection.pool import new_pool
from event_backbone.errors import ConfigurationError
from event_backbone.settings import REDIS_ENDPOINT_VARIABLE, RedisSettings

_ANSWER_WITHIN = timedelta(seconds=1)  # there are others to ask
_CONNECTIONS = 16


class _Asks(Protocol):
    async def sentinel_masters(self) -> Mapping[str, Mapping[str, object]]: ...


class _Primary(NamedTuple):
    epoch: int
    host: str
    port: int


class Sentinels:
    """The Sentinels of an endpoint, each asked in turn until one names a primary that is up.

    They are asked without credentials at first, and with those of the servers if they want some. One that knows less
    than another did before, by the epoch of its configuration, counts only if no other is left: it may have been cut
    off, and name an old primary.
    """

    def __init__(self, settings: RedisSettings) -> None:
        """Prepare; nothing connects yet."""
        self._settings = settings
        self._addresses = ",".join(settings.servers)
        self._logs_in = False
        self._epoch = 0
        self._clients = self._new_clients()

    async def primary(self) -> tuple[str, int]:
        """Return host and port of the primary.

        Raises:
            ConfigurationError: no Sentinel monitors this service, or what was asked is not a Sentinel.
            RedisError: none of them answers, or they know no primary that is up.
        """
        monitored: set[str] | None = None
        outdated: list[_Primary] = []
        failure: RedisError | None = None
        for client in tuple(self._clients):
            try:
                services = await cast("_Asks", client).sentinel_masters()
            except (RedisConnectionError, RedisTimeoutError) as error:
                if isinstance(error, AuthenticationError) and not self._logs_in:
                    await self._log_in()
                    return await self.primary()
                failure = error
            except ResponseError as error:
                failure = error
            else:
                monitored = (monitored or set[str]()) | set(services)
                found = _primary_in(services.get(self._settings.service))
                if found is not None and found.epoch >= self._epoch:
                    return self._noted(found)
                outdated += [] if found is None else [found]
        if outdated:  # somebody has made the Sentinels begin again
            return self._noted(max(outdated))
        if monitored is None and failure is not None:
            denied = isinstance(failure, NoPermissionError) or not isinstance(failure, ResponseError)
            raise failure if denied else self._not_a_sentinel()
        if monitored is not None and self._settings.service not in monitored:
            raise self._unknown_service(monitored)
        raise Unreachable("its Sentinels know no primary that is up")

    def ask_another_first(self) -> None:
        """Ask another Sentinel the next time: the one that was asked may know less."""
        self._clients.append(self._clients.pop(0))

    async def close(self) -> None:
        """Close the connections to all Sentinels. May be called twice."""
        for client in self._clients:
            await client.connection_pool.aclose()

    async def _log_in(self) -> None:
        await self.close()
        self._logs_in = True
        self._clients = self._new_clients()

    def _new_clients(self) -> list[Redis]:
        urls = [self._settings.sentinel_url(each, credentials=self._logs_in) for each in self._settings.servers]
        return [
            Redis(connection_pool=new_pool(url, connections=_CONNECTIONS, answer_within=_ANSWER_WITHIN)) for url in urls
        ]

    def _noted(self, found: _Primary) -> tuple[str, int]:
        self._epoch = found.epoch
        return found.host, found.port

    def _not_a_sentinel(self) -> ConfigurationError:
        return ConfigurationError(
            f"Redis at {self._addresses} is not a Sentinel; name Sentinels in {REDIS_ENDPOINT_VARIABLE}, or use "
            "redis://host:port."
        )

    def _unknown_service(self, monitored: set[str]) -> ConfigurationError:
        if not monitored:
            return ConfigurationError(
                f"The Sentinels at {self._addresses} monitor nothing yet; let them monitor {self._settings.service!r}."
            )
        return ConfigurationError(
            f"The Sentinels at {self._addresses} monitor no service {self._settings.service!r}, only "
            f"{', '.join(sorted(monitored))}; name one of theirs in {REDIS_ENDPOINT_VARIABLE}."
        )


def _primary_in(state: Mapping[str, object] | None) -> _Primary | None:
    """Return the primary, if it is up."""
    if state is None or not state["is_master"] or state["is_sdown"] or state["is_odown"]:
        return None
    return _Primary(
        int(cast("int | str", state["config-epoch"])), str(state["ip"]), int(cast("int | str", state["port"]))
    )
