"""An independent S3 client, to look at what the code under test left in a bucket."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import boto3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


BUCKET = "events"


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


def objects_of(server: Server, part: str = "", bucket: str = BUCKET) -> dict[str, bytes]:
    """Return the objects in a bucket whose keys have this part, in order of their keys."""
    client = s3_client(server)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = sorted(each.get("Key", "") for page in pages for each in page.get("Contents", []))
    return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys if part in key}


def put_back(server: Server, objects: Mapping[str, bytes]) -> None:
    """Let the bucket have these objects, and no others."""
    client, there = s3_client(server), objects_of(server)
    for key in there.keys() - objects.keys():
        client.delete_object(Bucket=BUCKET, Key=key)
    for key, data in objects.items():
        if there.get(key) != data:
            client.put_object(Bucket=BUCKET, Key=key, Body=data)
