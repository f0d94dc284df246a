"""Payloads in S3. The modules that import boto3 and obstore are loaded when a storage is first used."""

from event_backbone.storage.s3.options import S3Options
from event_backbone.storage.s3.storage import S3Storage

__all__ = ["S3Options", "S3Storage"]
