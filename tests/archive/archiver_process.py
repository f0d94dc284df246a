"""Archivers in separate processes, which are there to be killed: a new one begins when one has ended."""

import argparse
import asyncio
import os
from datetime import timedelta
from functools import cache
from importlib import import_module
from unittest.mock import patch

import boto3
from botocore.loaders import create_loader

from event_backbone import Backbone
from event_backbone.archive import S3Archive
from tests.support.letters import URI


async def archive(url: str, parent: int) -> None:
    """Archive until the end, at the latest that of the parent."""
    kept_in = S3Archive(segment_bytes=3000, close_after=timedelta(milliseconds=20))
    async with Backbone(url, archive=kept_in, environment="test") as backbone, backbone.archiver(URI):
        print(f"archiving {os.getpid()}", flush=True)  # noqa: T201
        while os.getppid() == parent:  # noqa: ASYNC110 - nobody could tell
            await asyncio.sleep(0.5)


def main(url: str, lives: int) -> None:
    """Fork one archiver after the other: the libraries are loaded once, and nothing runs yet when it forks."""
    parent = os.getpid()
    import_module("event_backbone.archive.archive_loop")
    boto3.Session("key", "secret").client("s3", region_name="us-east-1")
    print("ready", flush=True)  # noqa: T201
    for _ in range(lives):
        child = os.fork()
        if child == 0:
            asyncio.run(archive(url, parent))
            return
        os.waitpid(child, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--lives", type=int)
    options = parser.parse_args()
    with patch("botocore.session.create_loader", cache(create_loader)):
        main(options.url, options.lives)
