"""The object store of load and fault tests keeps what it has acknowledged."""

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.support.eventually import eventually
from tests.support.s3 import s3_client
from tests.support.seaweed import SeaweedServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def read(client: "S3Client") -> bytes | None:
    """Return the object's body; None while the server, which has just begun to listen, cannot find its parts."""
    try:
        return client.get_object(Bucket="kept", Key="one")["Body"].read()
    except ClientError as error:
        if "InternalError" not in str(error):
            raise
        return None


async def test_objects_survive_a_kill_and_wrong_credentials_are_refused() -> None:
    """It is killed and started again on its endpoint; the object is there, and a stranger may not read it."""
    with SeaweedServer() as server:
        server.create_bucket("kept")
        server.create_bucket("kept")
        client = s3_client(server)
        client.put_object(Bucket="kept", Key="one", Body=b"1")
        endpoint = server.endpoint
        server.kill()
        server.start()
        assert server.endpoint == endpoint
        await eventually(lambda: read(client) == b"1")
        stranger = s3_client(server, secret="wrong")
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            stranger.get_object(Bucket="kept", Key="one")
