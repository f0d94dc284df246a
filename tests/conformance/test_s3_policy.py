"""The least permissions, as `bucket policy` prints them, and what each of them is for."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, cast

import pytest

from event_backbone.errors import ConfigurationError, PayloadForbidden, StorageError
from event_backbone.storage import S3Options, S3Storage
from event_backbone.storage.buckets import access_policy
from event_backbone.testing.servers import S3Server
from tests.conformance.storage_suite import PAYLOAD, References, StorageCase
from tests.support.iam import create_users, permissions_enforced

Role = Literal["producer", "consumer", "both"]
Policy = dict[str, object]
ROLES: tuple[Role, ...] = ("producer", "consumer")
ENVIRONMENT = "dev"  # of a StorageCase


async def act(options: S3Options, role: Role, saved: References) -> None:
    """Do all that a process of this role does."""
    storage = S3Storage(options)
    case = StorageCase(storage)
    await storage.check(case.scope())
    if role != "consumer":
        references = await case.save(PAYLOAD)
        await storage.erase(case.scope(), references)
    if isinstance(answer := await case.load_one(saved), StorageError):
        raise answer


def reduced(policy: Policy) -> Iterator[Policy]:
    """Yield the policy without each of its actions."""
    for statement in statements(policy):
        actions = cast("list[str]", statement["Action"])
        for action in actions:
            left = [{**statement, "Action": [each for each in actions if each != action]}] if len(actions) > 1 else []
            others = [each for each in statements(policy) if each is not statement]
            yield {**policy, "Statement": others + left}


def statements(policy: Policy) -> list[dict[str, object]]:
    """The statements of a policy."""
    return cast("list[dict[str, object]]", policy["Statement"])


async def test_a_policy_allows_what_its_role_does_and_nothing_else(
    s3_environment: dict[str, str], s3_server: S3Server
) -> None:
    """Without any one of its permissions something fails; another environment and prefix are out of reach."""
    ours = replace(S3Options(prefix="all").resolved(), region="us-east-1")
    saved = await StorageCase(S3Storage(ours)).save(PAYLOAD)
    policies: dict[Role, Policy] = {role: await access_policy(ours, ENVIRONMENT, role=role) for role in ROLES}
    cases: list[tuple[Role, Policy, Policy]] = [
        (role, policy, less) for role, policy in policies.items() for less in (policy, *reduced(policy))
    ]
    assert [role for role, _, _ in cases] == ["producer"] * 5 + ["consumer"] * 4
    pairs = await asyncio.to_thread(create_users, s3_server, [given for _, _, given in cases])
    with permissions_enforced(s3_server):
        for (role, policy, given), (access_key, secret_key) in zip(cases, pairs, strict=True):
            options = replace(ours, access_key=access_key, secret_key=secret_key)
            if given != policy:
                with pytest.raises((ConfigurationError, PayloadForbidden)):
                    await act(options, role, saved)
                continue
            await act(options, role, saved)
            for prefix, environment in (("", ENVIRONMENT), ("all", "prod")):
                case = StorageCase(S3Storage(replace(options, prefix=prefix)))
                with pytest.raises(ConfigurationError, match="grant s3:PutObject and s3:GetObject"):
                    await case.storage.check(case.scope(environment=environment))


@pytest.mark.parametrize(
    ("options", "resource", "condition"),
    [
        (S3Options(kms_key="1234-ab"), "arn:aws-cn:kms:cn-north-1:*:key/1234-ab", None),
        (S3Options(kms_key="arn:aws:kms:eu-west-1:1:key/1"), "arn:aws:kms:eu-west-1:1:key/1", None),
        (S3Options(kms_key="alias/events"), "arn:aws-cn:kms:cn-north-1:*:key/*", "alias/events"),
        (S3Options(kms_key="arn:aws:kms:eu-west-1:1:alias/a/b"), "arn:aws-cn:kms:cn-north-1:*:key/*", "alias/a/b"),
    ],
)
async def test_a_key_and_tags_take_permissions_of_their_own(
    options: S3Options, resource: str, condition: str | None
) -> None:
    """An alias stands for the keys that have it."""
    given = replace(options, bucket="events", region="cn-north-1", encryption="aws:kms", tags={"team": "orders"})
    packs, marker, key = statements(await access_policy(given, "prod", role="both"))
    assert packs["Resource"] == "arn:aws-cn:s3:::events/prod/packs/*"
    assert packs["Action"] == marker["Action"] == ["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"]
    assert (key["Action"], key["Resource"]) == (["kms:Decrypt", "kms:GenerateDataKey"], resource)
    found = cast("dict[str, dict[str, str]]", key.get("Condition", {}))
    assert found.get("ForAnyValue:StringEquals", {}).get("kms:ResourceAliases") == condition
