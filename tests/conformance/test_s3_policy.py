"""The least permissions, as `bucket policy` prints them, and what each of them is for."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Literal, cast

import pytest

from event_backbone.errors import ConfigurationError, PayloadForbidden, StorageError
from event_backbone.model import StreamName
from event_backbone.storage import S3Options, S3Storage
from event_backbone.storage.buckets import access_policy
from event_backbone.storage.s3.connection import S3Connection
from event_backbone.storage.s3.keys import packs_folder
from event_backbone.testing.servers import S3Server
from tests.conformance.storage_suite import PAYLOAD, References, StorageCase
from tests.support.iam import create_users, permissions_enforced

Role = Literal["producer", "consumer", "archiver", "both"]
Policy = dict[str, object]
ROLES: tuple[tuple[Role, int], ...] = (("producer", 4), ("consumer", 5), ("archiver", 6), ("both", 7))
"""Each with the number of its permissions where there is an archive."""

ENVIRONMENT = "dev"  # of a StorageCase
SEGMENT = f"all/{ENVIRONMENT}/archive/shipments/0/1.zst"


async def act(options: S3Options, role: Role, saved: References) -> None:
    """Do all that a process of this role does."""
    storage = S3Storage(options)
    case = StorageCase(storage)
    await storage.check(case.scope())
    if role in {"producer", "both"}:
        references = await case.save(PAYLOAD)
        await storage.erase(case.scope(), references)
    if isinstance(answer := await case.load_one(saved), StorageError):
        raise answer
    if role != "producer":
        await act_on_archive(options, writes=role != "consumer")
    if role in {"archiver", "both"}:
        log = storage.record_log(case.scope())
        assert log is not None
        assert [page async for page in log.records()]


async def act_on_archive(options: S3Options, *, writes: bool) -> None:
    """Read the archive, and perhaps write it."""
    objects = await S3Connection(options, None).objects(ENVIRONMENT)
    segments = [key async for page in objects.list_keys(f"all/{ENVIRONMENT}/archive/shipments") for key in page]
    assert segments == [SEGMENT]
    found, version = await objects.read_version(SEGMENT)
    if writes:
        assert await objects.replace(SEGMENT, found, version)


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


def without_condition(policy: Policy) -> Policy:
    """Return the policy as the server can enforce it: it does not know which prefix is listed."""
    kept = [{name: said for name, said in each.items() if name != "Condition"} for each in statements(policy)]
    return {**policy, "Statement": kept}


async def test_a_policy_allows_what_its_role_does_and_nothing_else(
    s3_environment: dict[str, str], s3_server: S3Server
) -> None:
    """Without any one of its permissions something fails; another environment and prefix are out of reach."""
    ours = replace(S3Options(prefix="all").resolved(), region="us-east-1")
    saved = await StorageCase(S3Storage(ours)).save(PAYLOAD)
    await (await S3Connection(ours, None).objects(ENVIRONMENT)).create(SEGMENT, b"events")
    cases: list[tuple[Role, Policy, bool]] = []
    for role, permissions in ROLES:
        whole = await access_policy(ours, ENVIRONMENT, role=role, archive=True)
        less = list(reduced(whole))
        assert len(less) == permissions
        cases.append((role, whole, True))
        if role != "both":  # which has those of the others
            cases.extend((role, each, False) for each in less)
    given = [without_condition(policy) for _, policy, _ in cases]
    pairs = await asyncio.to_thread(create_users, s3_server, given)
    with permissions_enforced(s3_server):
        for (role, _, is_whole), (access_key, secret_key) in zip(cases, pairs, strict=True):
            options = replace(ours, access_key=access_key, secret_key=secret_key)
            if not is_whole:
                with pytest.raises((ConfigurationError, PayloadForbidden)):
                    await act(options, role, saved)
                continue
            await act(options, role, saved)
            for prefix, environment in (("", ENVIRONMENT), ("all", "prod")):
                case = StorageCase(S3Storage(replace(options, prefix=prefix)))
                with pytest.raises(ConfigurationError, match="grant s3:PutObject and s3:GetObject"):
                    await case.storage.check(case.scope(environment=environment))


@pytest.mark.parametrize(
    ("role", "prefixes"),
    [("consumer", ["all/dev/archive/*"]), ("archiver", ["all/dev/archive/*", "all/dev/packs/*"])],
)
async def test_only_what_an_archive_needs_may_be_listed(role: Role, prefixes: list[str]) -> None:
    """Below the folders of this environment: another's names are not to be seen, nor who else uses the bucket."""
    given = S3Options("events", prefix="all", region="eu-west-1", environment_in="key")
    listing = statements(await access_policy(given, ENVIRONMENT, role=role, archive=True))[-1]
    assert (listing["Action"], listing["Resource"]) == (["s3:ListBucket"], "arn:aws:s3:::events")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": prefixes}}
    asked = packs_folder(given, StreamName.of("shipments", ENVIRONMENT))
    assert any(fnmatchcase(asked, prefix) for prefix in prefixes) is (role == "archiver")


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
