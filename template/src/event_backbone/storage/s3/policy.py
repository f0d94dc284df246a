"""The permissions that a process needs, as a policy of IAM. Importing this imports boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from botocore.exceptions import UnknownRegionError

from event_backbone.storage.s3.access import open_session
from event_backbone.storage.s3.keys import below_environment, marker_key
from event_backbone.storage.s3.options import S3Options

if TYPE_CHECKING:
    import boto3

Role = Literal["producer", "consumer", "archiver", "both"]
"""Who gets the permissions: "both" is a program that produces, consumes and, if there is an archive, archives."""

Statement = dict[str, object]
"""One statement of a policy, as JSON."""


def access_policy(
    options: S3Options, environment: str, role: Role, session: boto3.Session | None, *, archive: bool
) -> dict[str, object]:
    """Return the policy for exactly the bucket, prefix and environment of these options, without asking AWS."""
    session = session or open_session(options)
    region = options.region or session.region_name
    partition = _partition(session, region)
    bucket = f"arn:{partition}:s3:::{options.bucket_of(environment)}"
    packs, segments = (below_environment(options, environment, f"{folder}/*") for folder in ("packs", "archive"))
    read, write = ["s3:GetObject"], ["s3:PutObject", *(["s3:PutObjectTagging"] if options.tags else [])]
    statements = [
        # A producer also reads: it compares what exists after an answer that was lost.
        _allow("Packs", read + write if role in {"producer", "both"} else read, f"{bucket}/{packs}"),
        # A consumer also writes: its check creates the marker where there is none.
        _allow("Marker", read + write, f"{bucket}/{marker_key(options, environment)}"),
    ]
    if role == "archiver" or (archive and role != "producer"):
        archives = role != "consumer"
        statements.append(_allow("Archive", read + write if archives else read, f"{bucket}/{segments}"))
        # A restore also lists packs. Nothing else in the bucket may be listed.
        listed = {"StringLike": {"s3:prefix": [segments, packs] if archives else [segments]}}
        statements.append(_allow("List", ["s3:ListBucket"], bucket) | {"Condition": listed})
    if options.kms_key:
        statements.append(_use_of_key(options.kms_key, f"arn:{partition}:kms:{region or '*'}:*:key"))
    return {"Version": "2012-10-17", "Statement": statements}


def _use_of_key(key: str, keys: str) -> Statement:
    actions = ["kms:Decrypt", "kms:GenerateDataKey"]
    alias = key[key.find("alias/") :] if key.startswith("alias/") or ":alias/" in key else None
    if alias is not None:  # which cannot be the resource of an action on a key
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}
        return _allow("Key", actions, f"{keys}/*") | {"Condition": condition}
    return _allow("Key", actions, key if key.startswith("arn:") else f"{keys}/{key}")


def _allow(name: str, actions: list[str], resource: str) -> Statement:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource}


def _partition(session: boto3.Session, region: str | None) -> str:
    try:
        return session.get_partition_for_region(region) if region else "aws"
    except UnknownRegionError:  # of a server other than Amazon's
        return "aws"
