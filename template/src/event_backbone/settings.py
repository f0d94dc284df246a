"""Settings of Redis and the environment, read from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from event_backbone.errors import ConfigurationError

REDIS_ENDPOINT_VARIABLE = "REDIS_EVENT_SOURCE_ENDPOINT"
REDIS_PASSWORD_VARIABLE = "REDIS_EVENT_SOURCE_PASS"  # noqa: S105 - the name of the variable
ENVIRONMENT_VARIABLE = "EVENT_SOURCE_ENVIRONMENT"
SITE_VARIABLE = "EVENT_SOURCE_SITE"

_FORMS = "host:port, redis://host:port/0, rediss://host:port or unix:///path/of/socket"
NO_REDIS_ENDPOINT = f"{REDIS_ENDPOINT_VARIABLE} is not set; use {_FORMS}."
_DEFAULT_PORT = 6379
_UNIX = "unix"
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


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is. ``url`` may contain a password; ``described`` and the repr never do."""

    url: str = field(repr=False)
    described: str

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
        """Read ``host:port``, ``redis://``, ``rediss://`` or ``unix://``.

        The URL may contain user, password and database; ``password`` is used if the URL has none. Raises
        ConfigurationError, whose text never repeats the endpoint, as that may contain a password.
        """
        endpoint = endpoint.strip()
        try:
            parts = urlsplit(endpoint if "://" in endpoint else f"redis://{endpoint}")
            port = parts.port or _DEFAULT_PORT
        except ValueError as error:
            raise ConfigurationError(f"The Redis endpoint has no valid host and port; use {_FORMS}.") from error
        _check(parts)
        database = _database(parts)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        server = parts.path if parts.scheme == _UNIX else f"{host}:{port}"
        address = server if parts.scheme == _UNIX else f"{server}/{database}"
        query = f"?{parts.query}" if parts.query else ""
        url = f"{parts.scheme}://{_credentials(parts, password)}{address}{query}"
        return cls(url, server if database == 0 else f"{server} (database {database})")


def environment_from(environ: Mapping[str, str] = os.environ) -> str:
    """Read EVENT_SOURCE_ENVIRONMENT; if it is not set, names have no environment."""
    return environ.get(ENVIRONMENT_VARIABLE, "")


def site_from(environ: Mapping[str, str] = os.environ) -> str:
    """Read EVENT_SOURCE_SITE; if it is not set, streams have no site."""
    return environ.get(SITE_VARIABLE, "")


def _check(parts: SplitResult) -> None:
    if parts.scheme not in {"redis", "rediss", _UNIX}:
        raise ConfigurationError(f"The Redis endpoint has an unknown scheme; use {_FORMS}.")
    if parts.fragment or not (parts.path if parts.scheme == _UNIX else parts.hostname):
        raise ConfigurationError(f"The Redis endpoint names no server; use {_FORMS}.")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise ConfigurationError(f"The Redis endpoint takes only these options: {', '.join(sorted(_OPTIONS))}.")


def _database(parts: SplitResult) -> int:
    text = dict(parse_qsl(parts.query)).get("db") or ("" if parts.scheme == _UNIX else parts.path.strip("/"))
    if text and not (text.isascii() and text.isdigit()):
        raise ConfigurationError("The database of the Redis endpoint must be a number; use /0 or leave it out.")
    return int(text or 0)


def _credentials(parts: SplitResult, password: str | None) -> str:
    secret = unquote(parts.password) if parts.password else password
    user = unquote(parts.username) if parts.username else ""
    if not secret and not user:
        return ""
    return f"{quote(user, safe='')}:{quote(secret or '', safe='')}@"
