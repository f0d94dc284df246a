"""Makes and examines buckets with boto3, blocking. Importing this imports boto3."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, cast

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from event_backbone.errors import ConfigurationError, StorageUnavailable
from event_backbone.storage.s3.access import find_access, open_client, open_session
from event_backbone.storage.s3.options import ENDPOINT_VARIABLE, S3Options

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType

BucketState = Literal["exists", "missing", "unknown"]

_DEFAULT_REGION = "us-east-1"  # the one region that S3 refuses as a location
_OURS = "BucketAlreadyOwnedByYou"
_STATES: dict[str, BucketState] = {"404": "missing", "403": "unknown"}


def create(options: S3Options, environment: str, session: boto3.Session | None) -> bool:
    """Create the bucket of an environment; return False when it exists and is yours."""
    bucket = options.bucket_of(environment)
    session = session or open_session(options)
    region = find_access(options, session).region
    client = open_client(options, session)
    with _translated(bucket, client.meta.endpoint_url):
        if _state(client, bucket) == "exists":
            return False
        try:
            if region == _DEFAULT_REGION:
                client.create_bucket(Bucket=bucket)
            else:
                constraint = cast("BucketLocationConstraintType", region)
                client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": constraint})
        except ClientError as error:
            if _code(error) != _OURS:
                raise
            return False
    return True


def state(options: S3Options, environment: str, session: boto3.Session | None) -> BucketState:
    """Return whether the bucket of an environment exists; "unknown" when these credentials may not ask."""
    bucket = options.bucket_of(environment)
    session = session or open_session(options)
    find_access(options, session)
    client = open_client(options, session)
    with _translated(bucket, client.meta.endpoint_url):
        return _state(client, bucket)


def _state(client: S3Client, bucket: str) -> BucketState:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if _code(error) not in _STATES:
            raise
        return _STATES[_code(error)]
    return "exists"


@contextmanager
def _translated(bucket: str, endpoint: str) -> Generator[None]:
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code == "BucketAlreadyExists":
            message = f"The bucket name {bucket} belongs to somebody else; choose another one."
        else:
            message = f"S3 at {endpoint} refuses ({code}); correct the credentials, or grant s3:CreateBucket."
        raise ConfigurationError(message) from error
    except BotoCoreError as error:
        raise StorageUnavailable(
            f"S3 at {endpoint} does not answer; start it or correct {ENDPOINT_VARIABLE}."
        ) from error


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "without a code")
