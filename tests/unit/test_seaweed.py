"""The object store of load and fault tests keeps what it has acknowledged."""

import pytest
from botocore.exceptions import ClientError

from tests.support.s3 import s3_client
from tests.support.seaweed import SeaweedServer


def test_objects_survive_a_kill_and_wrong_credentials_are_refused() -> None:
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
        assert client.get_object(Bucket="kept", Key="one")["Body"].read() == b"1"
        stranger = s3_client(server, secret="wrong")
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            stranger.get_object(Bucket="kept", Key="one")
