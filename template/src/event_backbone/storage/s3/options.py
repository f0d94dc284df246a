"""The settings of S3 storage: arguments first, then S3_EVENT_SOURCE_*, then AWS_* variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from event_backbone.errors import ConfigurationError

EnvironmentIn = Literal["key", "bucket", "nothing"]
"""Where the environment's name is: before the object key, before the bucket (``dev.<bucket>``), or nowhere."""

Encryption = Literal["AES256", "aws:kms"]
"""How S3 encrypts objects: with its own keys (SSE-S3), or with a key of KMS (SSE-KMS)."""

Checksum = Literal["SHA256", "CRC64NVME"]
"""The checksum that an object is sent and kept with."""

BUCKET_VARIABLE = "S3_EVENT_SOURCE_BUCKET"
REGION_VARIABLE = "S3_EVENT_SOURCE_REGION"
ACCESS_KEY_VARIABLE = "S3_EVENT_SOURCE_ACCESS_KEY"
SECRET_VARIABLE = "S3_EVENT_SOURCE_SECRET"  # noqa: S105 - the name of the variable
SESSION_TOKEN_VARIABLE = "S3_EVENT_SOURCE_SESSION_TOKEN"  # noqa: S105 - the name of the variable
ENDPOINT_VARIABLE = "S3_EVENT_SOURCE_ENDPOINT"
PROFILE_VARIABLE = "S3_EVENT_SOURCE_PROFILE"
ENVIRONMENT_IN_VARIABLE = "S3_EVENT_SOURCE_ENVIRONMENT_IN"

_BUCKET = re.compile(r"(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"(?!.{513})(?:(?!\.+(?:/|$))[A-Za-z0-9._=-]+(?:/(?!$)|$))+")
_KMS_KEY = re.compile(r"[A-Za-z0-9:/_-]{1,2048}")
_STORAGE_CLASS = re.compile(r"[A-Z0-9_]{1,64}")
_NOT_READABLE = {"GLACIER", "DEEP_ARCHIVE"}
_MOST_TAGS = 10
_TAG_KEY = re.compile(r"[\w +\-=.:/@]{1,128}")
_TAG_VALUE = re.compile(r"[\w +\-=.:/@]{0,256}")


@dataclass(frozen=True, slots=True)
class S3Options:
    """How to reach the payloads in S3. What is None is looked up in the environment by ``resolved``.

    Credentials: a key pair wins over a profile, S3_EVENT_SOURCE_PROFILE over ``profile``, and without any of them
    boto3's default chain finds some (AWS_* variables, AWS_PROFILE, SSO, a role).

    Attributes:
        bucket: the bucket's name; it must exist.
        region: the bucket's region; None also looks into AWS_REGION and the profile.
        access_key: with ``secret_key`` the key pair to sign with.
        secret_key: see ``access_key``.
        endpoint: the address of an S3 other than Amazon's, such as http://localhost:9000.
        profile: an AWS profile of this machine's configuration.
        prefix: what all object keys begin with, without a slash at either end.
        environment_in: where the environment's name is; None looks it up, and means "key" when it is not set.
        connect_timeout: how long connecting may take.
        request_timeout: how long each try of a request may take.
        retries: how often a failed request is repeated.
        deadline: how long a call may take in all, waiting for a free slot included; keep it far below a lease.
        concurrency: how many requests may be under way at a time, in one process and event loop.
        pack_cache_bytes: how much of what was read in the last 60 s a process keeps, for other lines of the same packs.
        pack_events: how many events a pack has at most; 1 makes an object for each event.
        pack_bytes: how many bytes a pack has at most, unless a single event has more.
        pack_linger: for how long packs that are not full wait for more events; a lone event never waits.
        session_token: belongs to ``access_key`` and ``secret_key`` when these are temporary.
        encryption: how S3 encrypts what is written, "AES256" or "aws:kms"; None leaves it to the bucket.
        kms_key: the id, ARN or alias of the KMS key for "aws:kms"; None is the one that S3 has in your account.
        kms_bucket_key: let S3 derive keys from the KMS key for a while, instead of asking KMS for each object.
        storage_class: the storage class of what is written, such as "STANDARD_IA"; None is the store's default. One
            that cannot be read at once is refused.
        checksum: "SHA256" or "CRC64NVME" adds a checksum to what is written, which S3 verifies and keeps. Without one
            S3 still verifies what arrives, by the hash that each request is signed with.
        tags: the tags of what is written, at most 10.
    """

    bucket: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    endpoint: str | None = None
    profile: str | None = None
    prefix: str = ""
    environment_in: EnvironmentIn | None = None
    connect_timeout: timedelta = timedelta(seconds=2)
    request_timeout: timedelta = timedelta(seconds=5)
    retries: int = 2
    deadline: timedelta = timedelta(seconds=10)
    concurrency: int = 64
    pack_cache_bytes: int = 32 * 1024 * 1024
    pack_events: int = 256
    pack_bytes: int = 4 << 20
    pack_linger: timedelta = timedelta(0)
    session_token: str | None = field(default=None, repr=False)
    encryption: Encryption | None = None
    kms_key: str | None = None
    kms_bucket_key: bool = True
    storage_class: str | None = None
    checksum: Checksum | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    def __post_init__(self) -> None:
        """Keep a copy of the tags, so that options stay what they are."""
        object.__setattr__(self, "tags", dict(self.tags))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> S3Options:
        """Read all settings from the environment; raise ConfigurationError when one is missing or wrong."""
        return cls().resolved(environ)

    def resolved(self, environ: Mapping[str, str] = os.environ) -> S3Options:
        """Fill in what is None from variables that are set and not empty. Resolving twice is the same as once.

        Raises:
            ConfigurationError: the bucket or half a key pair is missing, or a value is not valid.
        """
        filled = self._filled(environ)
        for problem in _problems(filled):
            raise ConfigurationError(problem)
        return filled

    def problems(self, environ: Mapping[str, str] = os.environ) -> list[str]:
        """Return one sentence for each value that is missing or not valid; ``resolved`` raises the first of them."""
        return list(_problems(self._filled(environ)))

    def _filled(self, environ: Mapping[str, str]) -> S3Options:
        access_key = self.access_key or environ.get(ACCESS_KEY_VARIABLE) or None
        # A key pair that is given is not the one that the variable's token belongs to.
        session_token = self.session_token or (not self.access_key and environ.get(SESSION_TOKEN_VARIABLE)) or None
        environment_in = self.environment_in or environ.get(ENVIRONMENT_IN_VARIABLE) or "key"
        return replace(
            self,
            bucket=self.bucket or environ.get(BUCKET_VARIABLE) or None,
            region=self.region or _first(environ, REGION_VARIABLE, "AWS_REGION", "AWS_DEFAULT_REGION"),
            access_key=access_key,
            secret_key=self.secret_key or environ.get(SECRET_VARIABLE) or None,
            # AWS_ENDPOINT_URL* are left to boto3, which also knows the profile's.
            endpoint=self.endpoint or environ.get(ENDPOINT_VARIABLE) or None,
            profile=None if access_key else environ.get(PROFILE_VARIABLE) or self.profile or None,
            environment_in=cast("EnvironmentIn", environment_in),
            session_token=session_token,
        )

    def bucket_of(self, environment: str) -> str:
        """Return the bucket of an environment; raise ConfigurationError when its name is too long for S3."""
        bucket = self.bucket or ""
        if self.environment_in == "bucket" and environment:
            bucket = f"{environment}.{bucket}"
        if _BUCKET.fullmatch(bucket) is None:
            raise ConfigurationError(_not_a_bucket(bucket))
        return bucket


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _problems(options: S3Options) -> Iterator[str]:
    names = (f"{ACCESS_KEY_VARIABLE} (access_key)", f"{SECRET_VARIABLE} (secret_key)")
    if bool(options.access_key) != bool(options.secret_key):
        given, missing = names if options.access_key else reversed(names)
        yield f"{missing} is not set, but {given} is: a key pair needs both."
    if options.session_token and not options.access_key:
        yield f"{SESSION_TOKEN_VARIABLE} (session_token) is set without the key pair that it belongs to."
    if options.environment_in not in get_args(EnvironmentIn):
        yield f"{ENVIRONMENT_IN_VARIABLE} (environment_in) must be key, bucket or nothing."
    if not options.bucket:
        yield f"Set {BUCKET_VARIABLE}, or bucket of S3Options, to the name of an S3 bucket."
    elif _BUCKET.fullmatch(options.bucket) is None:
        yield _not_a_bucket(options.bucket)
    if options.endpoint and not _is_address(options.endpoint):
        yield f"{ENDPOINT_VARIABLE} (endpoint) must look like https://host or http://host:port."
    if options.prefix and _PREFIX.fullmatch(options.prefix) is None:
        yield "prefix of S3Options may hold letters, digits and . _ - = with single / between."
    durations = (options.connect_timeout, options.request_timeout, options.deadline)
    if min(durations) <= timedelta(0) or options.retries < 0 or options.concurrency < 1:
        yield "Time-outs and concurrency of S3Options must be positive, retries not negative."
    if options.pack_cache_bytes < 0:
        yield "pack_cache_bytes of S3Options must not be negative; 0 keeps nothing."
    yield from _pack_problems(options)
    yield from _object_problems(options)


def _pack_problems(options: S3Options) -> Iterator[str]:
    if options.pack_events < 1 or options.pack_bytes < 1 or not timedelta(0) <= options.pack_linger < options.deadline:
        yield "pack_events and pack_bytes of S3Options must be positive, pack_linger at least 0 and below the deadline."


def _object_problems(options: S3Options) -> Iterator[str]:
    if options.encryption not in {None, *get_args(Encryption)}:
        yield "encryption of S3Options must be AES256, aws:kms or None."
    if options.kms_key is not None and options.encryption != "aws:kms":
        yield "kms_key of S3Options needs encryption='aws:kms'."
    elif options.kms_key is not None and _KMS_KEY.fullmatch(options.kms_key) is None:
        yield "kms_key of S3Options must be the id, the ARN or the alias (alias/...) of a KMS key."
    if options.storage_class in _NOT_READABLE:
        yield f"storage_class of S3Options must be readable at once, which {options.storage_class} is not."
    elif options.storage_class is not None and _STORAGE_CLASS.fullmatch(options.storage_class) is None:
        yield "storage_class of S3Options must be the name of a storage class of S3, such as STANDARD_IA."
    if options.checksum not in {None, *get_args(Checksum)}:
        yield "checksum of S3Options must be SHA256, CRC64NVME or None."
    if len(options.tags) > _MOST_TAGS or not all(map(_is_tag, options.tags.items())):
        yield (
            "tags of S3Options must be at most 10, keys of 1 to 128 characters and values of up to 256: letters, "
            "digits, spaces and + - = . _ : / @, and no key may begin with aws:."
        )


def _is_tag(tag: tuple[str, str]) -> bool:
    key, value = tag
    return (
        not key.lower().startswith("aws:")
        and _TAG_KEY.fullmatch(key) is not None
        and _TAG_VALUE.fullmatch(value) is not None
    )


def _not_a_bucket(name: str) -> str:
    return f"{name[:70]!r} is not a valid bucket name: use 3 to 63 of a-z, 0-9, hyphen and single dots."


def _is_address(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
