"""Settings of Redis and the environment, read from environment variables."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from event_backbone.errors import ConfigurationError

REDIS_ENDPOINT_VARIABLE = "REDIS_EVENT_SOURCE_ENDPOINT"
REDIS_PASSWORD_VARIABLE = "REDIS_EVENT_SOURCE_PASS"  # noqa: S105 - the name of the variable
ENVIRONMENT_VARIABLE = "EVENT_SOURCE_ENVIRONMENT"
SITE_VARIABLE = "EVENT_SOURCE_SITE"

_FORMS = (
    "host:port, redis://host:port/0, rediss://host:port, unix:///path/of/socket, "
    "redis+sentinel://host:port,host:port/service or redis+cluster://host:port"
)
NO_REDIS_ENDPOINT = f"{REDIS_ENDPOINT_VARIABLE} is not set; use {_FORMS}."
_UNIX = "unix"
_NAMED = 3
_OPTIONS = frozenset(
    {
        "db",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_certfile",
        "ssl_cert_reqs",
        "ssl_check_hostname",
        "ssl_keyfile",
    }
)

Topology = Literal["single", "sentinel", "cluster"]
"""What an endpoint leads to: one server, the primary that Sentinels name, or a cluster."""

_TOPOLOGIES: Mapping[str, Topology] = {
    "redis": "single",
    "rediss": "single",
    _UNIX: "single",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_DEFAULT_PORTS: Mapping[Topology, int] = {"single": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is. ``url`` may contain a password; ``described`` and the repr never do.

    ``servers`` are the addresses in the endpoint, as ``host:port``: of one server, of Sentinels, or of nodes of a
    cluster; a unix socket has none. ``service`` is what Sentinels call the primary.
    """

    url: str = field(repr=False)
    described: str
    topology: Topology = "single"
    servers: tuple[str, ...] = ()
    service: str = ""

    @classmethod
    def of(cls, redis: str | Self | None) -> Self:
        """Return ready settings as they are, read an endpoint, and read the environment when there is neither."""
        if redis is None:
            return cls.from_environment()
        return cls.parse(redis) if isinstance(redis, str) else redis

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read REDIS_EVENT_SOURCE_ENDPOINT, which must be set, and REDIS_EVENT_SOURCE_PASS."""
        endpoint = environ.get(REDIS_ENDPOINT_VARIABLE, "")
        if not endpoint.strip():
            raise ConfigurationError(NO_REDIS_ENDPOINT)
        return cls.parse(endpoint, environ.get(REDIS_PASSWORD_VARIABLE) or None)

    @classmethod
    def parse(cls, endpoint: str, password: str | None = None) -> Self:
        """Read ``host:port``, ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``.

        The URL may contain user, password and database; ``password`` is used if the URL has none. Raises
        ConfigurationError, whose text never repeats the endpoint, as that may contain a password.
        """
        endpoint = endpoint.strip()
        try:
            parts = _split(endpoint if "://" in endpoint else f"redis://{endpoint}")
        except ValueError as error:
            raise ConfigurationError(f"The Redis endpoint has no valid host and port; use {_FORMS}.") from error
        topology = _topology(parts)
        servers = () if parts.scheme == _UNIX else tuple(_servers(parts, topology))
        service, database = _service_and_database(parts, topology)
        address = parts.path if parts.scheme == _UNIX else ",".join(servers)
        path = {"single": f"/{database}", "sentinel": f"/{quote(service, safe='')}/{database}", "cluster": ""}[topology]
        query = f"?{parts.query}" if parts.query else ""
        path = "" if parts.scheme == _UNIX else path
        url = f"{parts.scheme}://{_credentials(parts, password)}{address}{path}{query}"
        described = address if len(servers) <= _NAMED else f"{','.join(servers[:_NAMED])} and others"
        described = f"{described}/{service}" if service else described
        return cls(
            url, described if database == 0 else f"{described} (database {database})", topology, servers, service
        )

    def url_of(self, server: str) -> str:
        """Return the URL of one server, ``host:port``, with the credentials, the database and the options of these."""
        if self.topology == "single":
            return self.url
        parts = _split(self.url)
        database = parts.path.rpartition("/")[2] if self.topology == "sentinel" else "0"
        return self._url(parts, server, database, credentials=True)

    def sentinel_url(self, server: str, *, credentials: bool) -> str:
        """Return the URL of one Sentinel, ``host:port``, with these credentials and options, or without credentials."""
        return self._url(_split(self.url), server, "0", credentials=credentials)

    def _url(self, parts: SplitResult, server: str, database: str, *, credentials: bool) -> str:
        given, at, _ = parts.netloc.rpartition("@") if credentials else ("", "", "")
        query = f"?{parts.query}" if parts.query else ""
        return f"{parts.scheme.partition('+')[0]}://{given}{at}{server}/{database}{query}"


def environment_from(environ: Mapping[str, str] = os.environ) -> str:
    """Read EVENT_SOURCE_ENVIRONMENT; if it is not set, names have no environment."""
    return environ.get(ENVIRONMENT_VARIABLE, "")


def site_from(environ: Mapping[str, str] = os.environ) -> str:
    """Read EVENT_SOURCE_SITE; if it is not set, streams have no site."""
    return environ.get(SITE_VARIABLE, "")


def _split(url: str) -> SplitResult:
    """Split a URL that may name several servers, which ``urlsplit`` refuses if one of them is an IPv6 address."""
    scheme, _, rest = url.partition("://")
    servers = re.split("[/?#]", rest, maxsplit=1)[0]
    return urlsplit(f"{scheme}://{rest[len(servers) :]}")._replace(netloc=servers)


def _topology(parts: SplitResult) -> Topology:
    topology = _TOPOLOGIES.get(parts.scheme)
    if topology is None:
        raise ConfigurationError(f"The Redis endpoint has an unknown scheme; use {_FORMS}.")
    if parts.fragment or (parts.scheme == _UNIX and not parts.path):
        raise ConfigurationError(f"The Redis endpoint names no server; use {_FORMS}.")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise ConfigurationError(f"The Redis endpoint takes only these options: {', '.join(sorted(_OPTIONS))}.")
    return topology


def _servers(parts: SplitResult, topology: Topology) -> Iterator[str]:
    """Yield each address of the endpoint as ``host:port``."""
    addresses = parts.netloc.rpartition("@")[2].split(",")
    if len(addresses) > 1 and topology == "single":
        raise ConfigurationError(
            "The Redis endpoint names several servers; use redis+cluster:// for a cluster, or redis+sentinel:// for "
            "Sentinels."
        )
    for address in addresses:
        try:
            one = urlsplit(f"redis://{address.strip()}")
            port = one.port or _DEFAULT_PORTS[topology]
        except ValueError as error:
            raise ConfigurationError(f"The Redis endpoint has no valid host and port; use {_FORMS}.") from error
        if not one.hostname:
            raise ConfigurationError(f"The Redis endpoint names no server; use {_FORMS}.")
        yield f"[{one.hostname}]:{port}" if ":" in one.hostname else f"{one.hostname}:{port}"


def _service_and_database(parts: SplitResult, topology: Topology) -> tuple[str, int]:
    query, path = dict(parse_qsl(parts.query)).get("db", ""), parts.path.strip("/")
    if parts.scheme == _UNIX:
        path = ""
    service, database = "", path
    if topology == "sentinel":
        service, _, database = path.partition("/")
        service = unquote(service)
        if not service:
            raise ConfigurationError(
                "The Redis endpoint names no service; use redis+sentinel://host:port,host:port/service, with the name "
                "that the Sentinels monitor."
            )
    number = _database(query or database)
    if topology == "cluster" and number:
        raise ConfigurationError("A Redis cluster has database 0 only; leave the database out of the Redis endpoint.")
    return service, number


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise ConfigurationError("The database of the Redis endpoint must be a number; use /0 or leave it out.")
    return int(text or 0)


def _credentials(parts: SplitResult, password: str | None) -> str:
    given_user, _, given_password = parts.netloc.rpartition("@")[0].partition(":")
    secret = unquote(given_password) or password
    user = unquote(given_user)
    if not secret and not user:
        return ""
    return f"{quote(user, safe='')}:{quote(secret or '', safe='')}@"
