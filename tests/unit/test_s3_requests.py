"""What a request to S3 carries, as a server sees it."""

import hashlib
from base64 import b64encode
from collections.abc import AsyncGenerator

import pytest

from event_backbone.errors import ConfigurationError
from event_backbone.storage import S3Options, S3Storage
from tests.conformance.storage_suite import PAYLOAD, StorageCase
from tests.support.faulty_s3 import FaultyS3, faulty_s3


@pytest.fixture
async def server() -> AsyncGenerator[FaultyS3]:
    """A server that keeps the headers of its requests."""
    async with faulty_s3() as server:
        yield server


async def _carried(server: FaultyS3, **options: object) -> dict[str, str]:
    """Return the headers of AWS that a save carries, without those of every request."""
    given = S3Options("events", None, "key", "secret", server.endpoint, **options)  # type: ignore[arg-type]
    await StorageCase(S3Storage(given)).save(PAYLOAD)
    found = {name.removeprefix("x-amz-"): text for name, text in server.headers[-1].items() if name.startswith("x-amz")}
    assert len(found.pop("content-sha256")) == 64
    del found["date"]
    return found


def _written(server: FaultyS3) -> bytes:
    """Return the object that was written last."""
    return list(server.objects.values())[-1]


def _crc64nvme(data: bytes) -> bytes:
    """Return the checksum by its definition: CRC-64 with this polynomial, reflected, and inverted before and after."""
    crc = 2**64 - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x9A6C9329AC4BC9B5 if crc & 1 else 0)
    return (crc ^ (2**64 - 1)).to_bytes(8)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


async def test_without_options_nothing_is_asked_of_the_bucket(
    server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever variables of other programs say; the hash in the signature covers what is sent."""
    for name in ("AWS_REQUEST_PAYER", "AWS_UNSIGNED_PAYLOAD"):
        monkeypatch.setenv(name, "true")
    assert await _carried(server) == {}


async def test_each_option_is_a_header(server: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which replaces what a variable of another program says."""
    for name, value in {
        "SERVER_SIDE_ENCRYPTION": "aws:kms",
        "CHECKSUM_ALGORITHM": "SHA256",
        "DISABLE_TAGGING": "true",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert await _carried(server, encryption="AES256", checksum="CRC64NVME", tags={"a": "b"}) == {
        "server-side-encryption": "AES256",
        "checksum-crc64nvme": _base64(_crc64nvme(_written(server))),
        "tagging": "a=b",
    }
    assert await _carried(
        server, session_token="of-mine", encryption="aws:kms", kms_bucket_key=False, checksum="SHA256"
    ) == {
        "security-token": "of-mine",
        "server-side-encryption": "aws:kms",
        "server-side-encryption-bucket-key-enabled": "false",
        "checksum-sha256": _base64(hashlib.sha256(_written(server)).digest()),
    }


@pytest.mark.parametrize(
    ("variable", "option"),
    [
        ("AWS_SERVER_SIDE_ENCRYPTION", "encryption"),
        ("AWS_SSE_KMS_KEY_ID", "kms_key"),
        ("AWS_SSE_BUCKET_KEY_ENABLED", "kms_bucket_key"),
        ("AWS_SSE_CUSTOMER_KEY_BASE64", "encryption"),
        ("AWS_CHECKSUM_ALGORITHM", "checksum"),
    ],
)
async def test_a_variable_that_would_change_what_is_written_is_refused(
    server: FaultyS3, monkeypatch: pytest.MonkeyPatch, variable: str, option: str
) -> None:
    """Another program's; its value, perhaps a key, is not shown."""
    monkeypatch.setenv(variable, "the-value")
    with pytest.raises(ConfigurationError, match=f"^Unset {variable}, and set {option} of S3Options") as raised:
        await _carried(server)
    assert "the-value" not in str(raised.value)
    assert server.requests == []
