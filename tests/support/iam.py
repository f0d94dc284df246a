"""Users of the embedded S3 server, and permissions that it enforces."""

import http.client
import json
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol, TypedDict, cast
from urllib.parse import urlsplit
from uuid import uuid4

import boto3

from event_backbone.testing.servers import S3Server


class _Pair(TypedDict):
    AccessKeyId: str
    SecretAccessKey: str


class _CreatedPair(TypedDict):
    AccessKey: _Pair


class _Iam(Protocol):
    def create_user(self, **names: str) -> object: ...

    def put_user_policy(self, **names: str) -> object: ...

    def create_access_key(self, **names: str) -> _CreatedPair: ...


class _Clients(Protocol):
    def client(self, service: Literal["iam"], /, *, endpoint_url: str) -> _Iam: ...


def create_users(server: S3Server, policies: Iterable[Mapping[str, object]]) -> list[tuple[str, str]]:
    """Create a user with each policy, and return their key pairs; not while permissions are enforced."""
    session = boto3.Session("root", "root", region_name="us-east-1")
    client = cast("_Clients", session).client("iam", endpoint_url=server.endpoint)
    pairs: list[tuple[str, str]] = []
    for policy in policies:
        name = f"user-{uuid4()}"
        client.create_user(UserName=name)
        client.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
        pair = client.create_access_key(UserName=name)["AccessKey"]
        pairs.append((pair["AccessKeyId"], pair["SecretAccessKey"]))
    return pairs


@contextmanager
def permissions_enforced(server: S3Server) -> Generator[None]:
    """Have the server check signatures and permissions for the time of the block."""
    before = _require_permissions_after(server, "0")
    try:
        yield
    finally:
        _require_permissions_after(server, before)


def _require_permissions_after(server: S3Server, requests: str) -> str:
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=10)
    connection.request("POST", "/moto-api/reset-auth", requests)
    answer = json.load(connection.getresponse())
    connection.close()
    return str(answer["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"])
