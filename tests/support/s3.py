"""An independent S3 client, to look at what the code under test left in a bucket."""

from typing import TYPE_CHECKING, Protocol

import boto3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Server(Protocol):
    """What the embedded S3 servers have in common."""

    def environment(self, bucket: str) -> dict[str, str]:
        """The variables that point an application at the server."""
        ...


def s3_client(server: Server, *, secret: str | None = None) -> "S3Client":
    """A boto3 client of this server, with its own credentials or another secret."""
    settings = server.environment("any")
    return boto3.client(
        "s3",
        endpoint_url=settings["S3_EVENT_SOURCE_ENDPOINT"],
        region_name=settings["S3_EVENT_SOURCE_REGION"],
        aws_access_key_id=settings["S3_EVENT_SOURCE_ACCESS_KEY"],
        aws_secret_access_key=secret or settings["S3_EVENT_SOURCE_SECRET"],
    )
