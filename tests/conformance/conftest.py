"""A plain client of S3, for what storages leave in a bucket."""

from typing import TYPE_CHECKING

import pytest

from event_backbone.testing.servers import S3Server
from tests.support.s3 import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def client(s3_server: S3Server, s3_environment: dict[str, str]) -> "S3Client":
    """A plain client of a server with an empty bucket, which the environment names."""
    return s3_client(s3_server)
