"""Reads and sets a bucket's lifecycle rules with boto3, blocking. Importing this imports boto3."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import boto3
from botocore.exceptions import ClientError

from event_backbone.errors import ConfigurationError
from event_backbone.storage.s3.administration import code_of, translated, usable_client
from event_backbone.storage.s3.keys import below_environment
from event_backbone.storage.s3.options import S3Options

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.literals import TransitionDefaultMinimumObjectSizeType as SmallestMoved
    from mypy_boto3_s3.type_defs import LifecycleRuleOutputTypeDef as Rule
    from mypy_boto3_s3.type_defs import PutBucketLifecycleConfigurationRequestTypeDef as Request

Folder = Literal["packs", "archive"]

_NO_RULES = "NoSuchLifecycleConfiguration"
_MOST_CHARACTERS = 255  # of a rule's ID


@dataclass(frozen=True, slots=True)
class DeletingRule:
    """A lifecycle rule that deletes objects.

    Attributes:
        name: the rule's ID.
        days: how many days after it was written an object is deleted, at the next midnight (UTC); 0 if the rule has a
            date, from which on it deletes all there is.
    """

    name: str
    days: int


def deleting_rules(
    options: S3Options, environment: str, folder: Folder, session: boto3.Session | None
) -> list[DeletingRule]:
    """Return the rules that delete some or all objects of an environment's folder, whoever made them."""
    bucket = options.bucket_of(environment)
    below = below_environment(options, environment, f"{folder}/")
    rules, _ = _read(usable_client(options, session), bucket)
    return [_deleting_rule(each) for each in rules if _deletes(each, below, options)]


def expire_packs(options: S3Options, environment: str, days: int, session: boto3.Session | None) -> None:
    """Let S3 delete the packs of an environment so many days after they were written; all other rules stay.

    S3 has one document for all rules of a bucket, and no conditions for writing it: a change that somebody else makes
    at the same time may be lost.
    """
    bucket, client = options.bucket_of(environment), usable_client(options, session)
    rule: Rule = {
        "ID": _rule_name(below_environment(options, environment, "")),
        "Status": "Enabled",
        "Filter": {"Prefix": below_environment(options, environment, "packs/")},
        "Expiration": {"Days": days},
    }
    rules, smallest = _read(client, bucket)
    others = [_with_filter(each) for each in rules if each.get("ID") != rule.get("ID")]
    request: Request = {"Bucket": bucket, "LifecycleConfiguration": {"Rules": [*others, rule]}}
    if smallest is not None:
        request["TransitionDefaultMinimumObjectSize"] = smallest
    with translated(bucket, client.meta.endpoint_url, "s3:PutLifecycleConfiguration"):
        client.put_bucket_lifecycle_configuration(**request)
    if _deleting_rule(rule) not in deleting_rules(options, environment, "packs", session):
        raise ConfigurationError(f"S3 at {client.meta.endpoint_url} has accepted the lifecycle rule, but not kept it.")


def _read(client: S3Client, bucket: str) -> tuple[list[Rule], SmallestMoved | None]:
    """Return a bucket's rules, and a setting for them all that only Amazon's S3 has: writing must not change it."""
    with translated(bucket, client.meta.endpoint_url, "s3:GetLifecycleConfiguration"):
        try:
            answer = client.get_bucket_lifecycle_configuration(Bucket=bucket)
        except ClientError as error:
            if code_of(error) != _NO_RULES:
                raise
            return [], None
    return answer["Rules"], answer.get("TransitionDefaultMinimumObjectSize")


def _rule_name(above: str) -> str:
    """Return the ID of the rule that lets packs expire, by the prefix and environment that packs are below."""
    name = f"event-backbone-packs-{above}" if above else "event-backbone-packs"
    if len(name) <= _MOST_CHARACTERS:
        return name
    return f"event-backbone-packs-{hashlib.sha256(above.encode()).hexdigest()}"


def _deletes(rule: Rule, below: str, options: S3Options) -> bool:
    """Return whether a rule deletes objects below a prefix that have the tags of these options."""
    condition = rule.get("Filter", {})
    several = condition.get("And", {})
    prefix = rule.get("Prefix") or condition.get("Prefix") or several.get("Prefix") or ""
    tags = [*([condition["Tag"]] if "Tag" in condition else []), *several.get("Tags", [])]
    expiration = rule.get("Expiration", {})
    return (
        rule["Status"] == "Enabled"
        and ("Days" in expiration or "Date" in expiration)
        and (below.startswith(prefix) or prefix.startswith(below))
        and all(options.tags.get(each["Key"]) == each["Value"] for each in tags)
    )


def _deleting_rule(rule: Rule) -> DeletingRule:
    return DeletingRule(rule.get("ID", ""), rule.get("Expiration", {}).get("Days", 0))


def _with_filter(rule: Rule) -> Rule:
    """Return a rule with its prefix in a filter: S3 refuses rules of which only some are written as of old."""
    if "Prefix" not in rule or "Filter" in rule:
        return rule
    renewed = rule.copy()
    renewed["Filter"] = {"Prefix": renewed.pop("Prefix")}
    return renewed
