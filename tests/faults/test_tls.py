"""Redis over TLS: the server's certificate is checked, and all commands work."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from event_backbone.connection import RedisConnection
from event_backbone.errors import StreamUnavailable
from event_backbone.settings import RedisSettings
from event_backbone.stream.redis import RedisStreams
from event_backbone.testing.servers import RedisServer
from tests.conformance.stream_suite import GROUP, NAME, NO_WAIT, new_entry
from tests.faults.proxy import proxy_before


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "redis.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
async def tls_endpoint(redis_server: RedisServer, redis_url: str, certificate: Path) -> AsyncIterator[str]:
    """The session's Redis behind TLS."""
    assert redis_url
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with proxy_before(redis_server.port, context) as proxy:
        yield proxy.url.replace("redis://", "rediss://")


async def test_events_flow_over_tls(tls_endpoint: str, certificate: Path) -> None:
    """Append, blocking read and wake."""
    streams = RedisStreams(RedisConnection(RedisSettings.parse(f"{tls_endpoint}?ssl_ca_certs={certificate}")))
    await streams.check()
    await streams.stream(NAME).append([new_entry()])
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    assert len(await reader.read(10, NO_WAIT)) == 1
    await asyncio.gather(reader.read(1, timedelta(seconds=1)), reader.wake())
    await streams.close()


async def test_an_untrusted_certificate_is_refused(tls_endpoint: str) -> None:
    """The text says that TLS is what fails."""
    streams = RedisStreams(RedisConnection(RedisSettings.parse(tls_endpoint)))
    with pytest.raises(StreamUnavailable, match="TLS fails"):
        await streams.check()
    await streams.close()
