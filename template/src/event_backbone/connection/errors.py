"""Turns the errors of redis-py into ours; this is the one table of Redis' error replies."""

import os
import re
from collections.abc import Mapping
from socket import gaierror
from ssl import SSLError
from types import TracebackType

from redis.exceptions import AuthenticationError, DataError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from event_backbone.errors import BackboneError, ConfigurationError, GroupMissing, StreamUnavailable
from event_backbone.settings import REDIS_ENDPOINT_VARIABLE, REDIS_PASSWORD_VARIABLE

_PREFIX = re.compile(r"[A-Z]{3,20}\b")
_KEY_GONE = "no longer exists"
_DATABASE = "DB index"
_DENIED_IN_SCRIPT = "ACL failure in script"

# What waiting cannot change, by the prefix of the error reply.
_WRONG_SETTINGS: Mapping[str, str] = {
    "WRONGPASS": f"refuses the user or the password; set {REDIS_PASSWORD_VARIABLE} to the right one.",
    "NOAUTH": f"wants a password; set {REDIS_PASSWORD_VARIABLE}.",
    "NOPERM": f"denies this user a command or a key; grant it, or name another user in {REDIS_ENDPOINT_VARIABLE}.",
    "MOVED": f"is a node of a cluster; use redis+cluster:// in {REDIS_ENDPOINT_VARIABLE}.",
    "WRONGTYPE": "holds other data under a key of this stream; choose another URI or environment.",
}
_NO_PASSWORD_SET = f"wants no password; unset {REDIS_PASSWORD_VARIABLE}, or name a user in {REDIS_ENDPOINT_VARIABLE}."
_NO_SUCH_DATABASE = f"has no database of this number; name another one in {REDIS_ENDPOINT_VARIABLE}."


class Unreachable(RedisConnectionError):
    """There is no server to send to; the text says why."""


class redis_errors:  # noqa: N801 - reads as a verb: `with redis_errors():`
    """Raise redis-py's errors as errors of this package, with the original as the cause.

    Wrong credentials, rights, database numbers and keys that hold other data become ConfigurationError, a missing group
    or stream GroupMissing, and everything else ``unavailable``. The server's own text is never repeated, because it may
    quote a command; ``address`` must not contain a password. An argument that cannot be sent at all is a mistake in the
    program, and is not translated.
    """

    # A class, as a generator costs twice as much, for every batch of both sides: fast path, see decision 0012.
    __slots__ = ("_address", "_group_missing", "_unavailable")

    def __init__(
        self,
        unavailable: type[BackboneError] = StreamUnavailable,
        *,
        address: str = "",
        group_missing: str = "The consumer group does not exist.",
    ) -> None:
        self._unavailable = unavailable
        self._address = address
        self._group_missing = group_missing

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, (RedisError, OSError)) and not isinstance(error, DataError):
            server = f"Redis at {self._address}" if self._address else "Redis"
            raise _translated(error, self._unavailable, server, self._group_missing) from error


def error_prefix(reply: str) -> str:
    """Return the first word of an error reply, such as ``OOM``."""
    match = _PREFIX.match(reply)
    return match.group() if match else "ERR"


def prefix_of(error: RedisError) -> str | None:
    """Return the first word of the error reply; None when there was no reply."""
    if error.status_code is not None:
        return error.status_code
    silent = isinstance(error, RedisConnectionError | RedisTimeoutError) and not isinstance(error, AuthenticationError)
    return None if silent else error_prefix(str(error))


def _translated(
    error: RedisError | OSError, unavailable: type[BackboneError], server: str, group_missing: str
) -> BackboneError:
    word = None if isinstance(error, OSError) else prefix_of(error)
    if word is None:
        return unavailable(f"{server} does not answer ({_reason(error)}); start it or set {REDIS_ENDPOINT_VARIABLE}.")
    text = str(error)
    if word == "NOGROUP" or (word == "UNBLOCKED" and _KEY_GONE in text):
        return GroupMissing(group_missing)
    if isinstance(error, AuthenticationError):
        return ConfigurationError(f"{server} {_WRONG_SETTINGS.get(word, _NO_PASSWORD_SET)}")
    if _DENIED_IN_SCRIPT in text:  # its own word is only ERR
        word = "NOPERM"
    wrong = _NO_SUCH_DATABASE if _DATABASE in text else _WRONG_SETTINGS.get(word)
    return (
        unavailable(f"{server} refuses for now ({word}).") if wrong is None else ConfigurationError(f"{server} {wrong}")
    )


def _reason(error: BaseException) -> str:
    """Say why there is no reply, from the operating system's error at the bottom of the chain."""
    cause: BaseException | None = error
    seen = set[int]()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, Unreachable):
            return str(cause)
        if isinstance(cause, TimeoutError | RedisTimeoutError):
            return "no answer in time"
        if isinstance(cause, gaierror):
            return "its name is not known"
        if isinstance(cause, SSLError):
            return "TLS fails"
        if isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno).lower()
        cause = cause.__cause__ or cause.__context__
    return "connection lost"
