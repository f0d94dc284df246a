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
_UNSUPPORTED = "S3 at {endpoint} does not support this ({permission})."
_SENTENCES = {
    "BucketAlreadyExists": "The bucket name {bucket} belongs to somebody else; choose another one.",
    "MethodNotAllowed": _UNSUPPORTED,
    "NoSuchBucket": "There is no bucket {bucket} at {endpoint}; create it with `bucket create`.",
    "NotImplemented": _UNSUPPORTED,
}
_REFUSED = "S3 at {endpoint} refuses ({code}); correct the credentials, or grant {permission}."
_OURS = "BucketAlreadyOwnedByYou"
_STATES: dict[str, BucketState] = {"404": "missing", "403": "unknown"}


def create(options: S3Options, environment: str, session: boto3.Session | None) -> bool:
    """Create the bucket of an environment; return False when it exists and is yours."""
    bucket = options.bucket_of(environment)
    session = session or open_session(options)
    region = find_access(options, session).region
    client = open_client(options, session)
    with translated(bucket, client.meta.endpoint_url, "s3:CreateBucket"):
        if _state(client, bucket) == "exists":
            return False
        try:
            if region == _DEFAULT_REGION:
                client.create_bucket(Bucket=bucket)
            else:
                constraint = cast("BucketLocationConstraintType", region)
                client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": constraint})
        except ClientError as error:
            if code_of(error) != _OURS:
                raise
            return False
    return True


def state(options: S3Options, environment: str, session: boto3.Session | None) -> BucketState:
    """Return whether the bucket of an environment exists; "unknown" when these credentials may not ask."""
    bucket = options.bucket_of(environment)
    client = usable_client(options, session)
    with translated(bucket, client.meta.endpoint_url, "s3:ListBucket"):
        return _state(client, bucket)


def _state(client: S3Client, bucket: str) -> BucketState:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if code_of(error) not in _STATES:
            raise
        return _STATES[code_of(error)]
    return "exists"


def usable_client(options: S3Options, session: boto3.Session | None) -> S3Client:
    """Return boto3's own client; raises ConfigurationError as ``find_access`` does."""
    session = session or open_session(options)
    find_access(options, session)
    return open_client(options, session)


@contextmanager
def translated(bucket: str, endpoint: str, permission: str) -> Generator[None]:
    """Raise ConfigurationError for what S3 refuses, and StorageUnavailable when it does not answer.

    ``permission`` is what the call needs.
    """
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        sentence = _SENTENCES.get(code, _REFUSED)
        message = sentence.format(bucket=bucket, endpoint=endpoint, code=code, permission=permission)
        raise ConfigurationError(message) from error
    except BotoCoreError as error:
        raise StorageUnavailable(
            f"S3 at {endpoint} does not answer; start it or correct {ENDPOINT_VARIABLE}."
        ) from error


def code_of(error: ClientError) -> str:
    """Return the code in an answer of S3."""
    return error.response.get("Error", {}).get("Code", "without a code")
