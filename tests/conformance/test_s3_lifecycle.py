"""The lifecycle rules of a bucket: which of them delete packs or the archive, and the rule that is set for packs."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from event_backbone.errors import ConfigurationError
from event_backbone.storage import S3Options
from event_backbone.storage.buckets import deleting_rules, expire_packs
from event_backbone.testing.servers import S3Server
from tests.support.faulty_s3 import Refusal, faulty_s3
from tests.support.iam import create_users, permissions_enforced
from tests.support.s3 import BUCKET, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef

pytestmark = pytest.mark.usefixtures("s3_environment")

OURS = {"Key": "team", "Value": "shop"}
THEIRS = {"Key": "team", "Value": "other"}
OLD_VERSIONS = {"Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 9}}


async def set_rules(server: S3Server, rules: dict[str, dict[str, Any]]) -> None:
    """Let the bucket have these rules, by their IDs; where nothing else is said, each deletes after 3 days."""
    complete = [
        {"ID": name, "Status": "Enabled"} | ({} if len(rule) > 1 else {"Expiration": {"Days": 3}}) | rule
        for name, rule in rules.items()
    ]
    await asyncio.to_thread(
        s3_client(server).put_bucket_lifecycle_configuration,
        Bucket=BUCKET,
        LifecycleConfiguration={"Rules": cast("list[LifecycleRuleTypeDef]", complete)},
    )


async def test_a_rule_is_found_that_deletes_some_of_our_objects(s3_server: S3Server) -> None:
    """By its prefix and tags; not one that is off, or deletes something else, such as old versions."""
    days = {"Expiration": {"Days": 3}}
    await set_rules(
        s3_server,
        {
            "all": {"Filter": {"Prefix": ""}},
            "packs": {"Filter": {"Prefix": "dev/pa"}},
            "part of the archive": {"Prefix": "dev/archive/shop/"},
            "tag": {"Filter": {"Tag": OURS}},
            "tags": {"Filter": {"And": {"Prefix": "dev/packs/", "Tags": [OURS]}}},
            "date": {"Filter": {}, "Expiration": {"Date": "2030-01-01T00:00:00Z"}},
            "another environment": {"Filter": {"Prefix": "prod/packs/"}},
            "another tag": {"Filter": {"Tag": THEIRS}},
            "too many tags": {"Filter": {"And": {"Prefix": "", "Tags": [OURS, THEIRS]}}},
            "off": {"Filter": {"Prefix": ""}, "Status": "Disabled"} | days,
            "markers": {"Filter": {"Prefix": ""}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
            "old versions": OLD_VERSIONS,
        },
    )
    options = S3Options(tags={"team": "shop"})
    packs = {each.name: each.days for each in await deleting_rules(options, "dev")}
    assert packs == {"all": 3, "packs": 3, "tag": 3, "tags": 3, "date": 0}
    archive = {each.name: each.days for each in await deleting_rules(options, "dev", folder="archive")}
    assert archive == {"all": 3, "part of the archive": 3, "tag": 3, "date": 0}


async def test_each_environment_has_a_rule_and_all_others_stay(s3_server: S3Server) -> None:
    """It replaces only itself. A rule with a prefix as of old gets a filter, as S3 refuses a mixture of both."""
    await set_rules(s3_server, {"logs": {"Prefix": "logs/"}, "old versions": OLD_VERSIONS})
    long = "a" * 300
    for environment, prefix, days in (("dev", "", 30), ("prod", "all/of-it", 60), ("dev", "", 40), ("", long, 9)):
        await expire_packs(S3Options(prefix=prefix), environment, days=days)
    answer = await asyncio.to_thread(s3_client(s3_server).get_bucket_lifecycle_configuration, Bucket=BUCKET)
    rules = {
        each.get("ID", ""): (each.get("Filter"), each.get("Expiration", {}).get("Days")) for each in answer["Rules"]
    }
    assert len(rules) == len(answer["Rules"])
    (hashed,) = (name for name in rules if len(name) == len("event-backbone-packs-") + 64)
    assert rules == {
        "logs": ({"Prefix": "logs/"}, 3),
        "old versions": ({"Prefix": ""}, None),
        "event-backbone-packs-dev": ({"Prefix": "dev/packs/"}, 40),
        "event-backbone-packs-all/of-it/prod": ({"Prefix": "all/of-it/prod/packs/"}, 60),
        hashed: ({"Prefix": f"{long}/packs/"}, 9),
    }
    assert [each.get("NoncurrentVersionExpiration") for each in answer["Rules"]].count({"NoncurrentDays": 9}) == 1


async def test_what_s3_refuses_is_one_sentence(s3_server: S3Server) -> None:
    """A missing permission, a missing bucket, and a server that has no lifecycle rules."""
    policies = [
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": [action], "Resource": "*"}]}
        for action in ("s3:PutObject", "s3:GetLifecycleConfiguration")
    ]
    pairs = await asyncio.to_thread(create_users, s3_server, policies)
    with permissions_enforced(s3_server):
        for (access_key, secret_key), missing in zip(pairs, ("Get", "Put"), strict=True):
            options = S3Options(access_key=access_key, secret_key=secret_key)
            with pytest.raises(ConfigurationError, match=rf"grant s3:{missing}LifecycleConfiguration\.$"):
                await expire_packs(options, "dev", days=30)
    with pytest.raises(ConfigurationError, match="There is no bucket another at"):
        await deleting_rules(S3Options(bucket="another"), "dev")
    async with faulty_s3() as server:
        options = replace(S3Options(retries=0).resolved(), endpoint=server.endpoint)
        for refusal in (Refusal(501, "NotImplemented"), Refusal(405, "MethodNotAllowed")):
            server.fail(refusal)
            with pytest.raises(ConfigurationError, match="does not support this"):
                await deleting_rules(options, "dev")
