"""obstore's client for a bucket, and what is written along with each object. Importing this imports obstore."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from event_backbone.errors import ConfigurationError
from event_backbone.storage.s3.options import S3Options

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import S3Config

    from event_backbone.storage.s3.access import S3Access

# What obstore takes from these variables cannot be taken back, only replaced.
_BY_VARIABLE: Mapping[str, tuple[str, str]] = {
    "AWS_SERVER_SIDE_ENCRYPTION": ("server_side_encryption", "encryption"),
    "AWS_SSE_KMS_KEY_ID": ("sse_kms_key_id", "kms_key"),
    "AWS_SSE_BUCKET_KEY_ENABLED": ("sse_bucket_key_enabled", "kms_bucket_key"),
    "AWS_SSE_CUSTOMER_KEY_BASE64": ("sse_customer_key_base64", "encryption"),
    "AWS_CHECKSUM_ALGORITHM": ("checksum_algorithm", "checksum"),
}


def open_bucket(bucket: str, options: S3Options, access: S3Access) -> S3Store:
    """Return a client; nothing connects yet. Raises ConfigurationError when obstore refuses a setting."""
    written = _written(options)
    for variable, (setting, option) in _BY_VARIABLE.items():
        if os.environ.get(variable) and setting not in written:
            raise ConfigurationError(f"Unset {variable}, and set {option} of S3Options if you want it for payloads.")
    try:
        # Everything that obstore would otherwise take from AWS_* variables, or ask a metadata service for, is given.
        return S3Store(
            bucket,
            config=written,
            aws_endpoint_url_s3=access.endpoint,
            region=access.region,
            credential_provider=access.credentials,
            skip_signature=False,
            unsigned_payload=False,
            request_payer=False,
            disable_tagging=False,
            virtual_hosted_style_request=False,
            conditional_put="etag",
            s3_express=False,
            client_options={
                "allow_http": urlsplit(access.endpoint).scheme == "http",
                "connect_timeout": options.connect_timeout,
                "timeout": options.request_timeout,
            },
            retry_config={"max_retries": 0, "retry_timeout": options.deadline},
        )
    except (BaseError, ValueError) as error:
        raise ConfigurationError(f"The settings for the S3 bucket {bucket} do not fit together.") from error


def object_attributes(options: S3Options) -> Attributes:
    """Return the attributes that every object is written with, whatever it contains."""
    return {"Storage-Class": options.storage_class} if options.storage_class else {}


def object_tags(options: S3Options) -> dict[str, str] | None:
    """Return the tags that every object is written with."""
    return dict(options.tags) or None


def _written(options: S3Options) -> S3Config:
    written: S3Config = {}
    if options.encryption:
        written["server_side_encryption"] = options.encryption
    if options.encryption == "aws:kms":
        written["sse_bucket_key_enabled"] = options.kms_bucket_key
    if options.kms_key:
        written["sse_kms_key_id"] = options.kms_key
    if options.checksum:
        written["checksum_algorithm"] = options.checksum
    return written
