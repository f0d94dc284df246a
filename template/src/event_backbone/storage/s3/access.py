"""Session, credentials, region and endpoint of S3, as boto3 finds them. Importing this imports boto3."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol, cast
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ProfileNotFound
from obstore.auth.boto3 import Boto3CredentialProvider

from event_backbone.errors import ConfigurationError
from event_backbone.storage.s3.options import (
    ACCESS_KEY_VARIABLE,
    ENDPOINT_VARIABLE,
    PROFILE_VARIABLE,
    REGION_VARIABLE,
    SECRET_VARIABLE,
    S3Options,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from obstore.store import S3CredentialProvider

# botocore renews temporary credentials while they still have ten minutes at least, so this never outlives them.
_CREDENTIALS_KEPT = timedelta(minutes=5)
_ANY_REGION = "us-east-1"  # which servers other than Amazon's accept


class _Clients(Protocol):
    """The one client that a session makes here; boto3's own signature has two hundred overloads."""

    def client(
        self, service: Literal["s3"], /, *, region_name: str | None, endpoint_url: str | None, config: Config
    ) -> S3Client: ...


@dataclass(frozen=True, slots=True)
class S3Access:
    """What a client needs to reach S3: found by boto3, so that every AWS setting has its usual meaning."""

    endpoint: str
    region: str
    credentials: S3CredentialProvider


def open_session(options: S3Options) -> boto3.Session:
    """Return a session for these options; raise ConfigurationError when the profile does not exist."""
    try:
        return boto3.Session(
            aws_access_key_id=options.access_key,
            aws_secret_access_key=options.secret_key,
            aws_session_token=options.session_token,
            region_name=options.region,
            profile_name=options.profile,
        )
    except ProfileNotFound as error:
        raise ConfigurationError(_no_profile(options.profile)) from error
    except BotoCoreError as error:
        raise ConfigurationError(f"The AWS configuration cannot be read: {_one_line(error)}") from error


def open_client(options: S3Options, session: boto3.Session) -> S3Client:
    """Return boto3's own client, for work on buckets; blocking."""
    config = Config(
        connect_timeout=options.connect_timeout.total_seconds(),
        read_timeout=options.request_timeout.total_seconds(),
        retries={"total_max_attempts": options.retries + 1, "mode": "standard"},
        s3={"addressing_style": "path"},
    )
    region = options.region or session.region_name
    try:
        return cast("_Clients", session).client("s3", region_name=region, endpoint_url=options.endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"The settings for S3 do not fit together: {_one_line(error)}") from error


def find_access(options: S3Options, session: boto3.Session | None) -> S3Access:
    """Find endpoint, region and credentials; blocking, as it may ask a metadata service for a role.

    Raises:
        ConfigurationError: there is no such profile, there are no credentials, or the region is not known.
    """
    session = session or open_session(options)
    credentials = _credentials(session)
    endpoint = options.endpoint or open_client(options, session).meta.endpoint_url  # making a client takes 100 ms
    region = options.region or session.region_name or _region_without_setting(endpoint)
    return S3Access(endpoint, region, credentials)


def _credentials(session: boto3.Session) -> S3CredentialProvider:
    try:
        return Boto3CredentialProvider(session, ttl=_CREDENTIALS_KEPT)
    except ValueError as error:
        raise ConfigurationError(
            f"No AWS credentials were found: set {ACCESS_KEY_VARIABLE} and {SECRET_VARIABLE}, name a profile in "
            f"{PROFILE_VARIABLE}, or give this machine a role."
        ) from error
    except BotoCoreError as error:
        raise ConfigurationError(f"The AWS credentials cannot be loaded: {_one_line(error)}") from error


def _region_without_setting(endpoint: str) -> str:
    if ".amazonaws." in (urlsplit(endpoint).hostname or ""):
        raise ConfigurationError(
            f"Set {REGION_VARIABLE} to the bucket's region, or {ENDPOINT_VARIABLE} when S3 is not Amazon's."
        )
    return _ANY_REGION


def _no_profile(profile: str | None) -> str:
    name = profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    config = os.environ.get("AWS_CONFIG_FILE", "~/.aws/config")
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    return f"There is no AWS profile {name!r} in {config} or {credentials}; add it, or set {PROFILE_VARIABLE}."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
