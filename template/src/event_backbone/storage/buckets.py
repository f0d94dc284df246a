"""Creates and examines the bucket, for the command line: the runtime itself never does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from event_backbone.storage.s3.libraries import require_libraries
from event_backbone.storage.s3.options import S3Options

if TYPE_CHECKING:
    import boto3

    from event_backbone.storage.s3.administration import BucketState
    from event_backbone.storage.s3.lifecycle import DeletingRule, Folder
    from event_backbone.storage.s3.policy import Role


async def create_bucket(options: S3Options, environment: str = "", *, session: boto3.Session | None = None) -> bool:
    """Create the bucket; return False when it exists and is yours. ``environment`` may be part of its name.

    Raises:
        ConfigurationError: the name belongs to somebody else, or settings or credentials do not allow it.
        StorageUnavailable: S3 does not answer.
    """
    require_libraries()
    from event_backbone.storage.s3 import administration  # noqa: PLC0415 - imports boto3

    return await asyncio.to_thread(administration.create, options.resolved(), environment, session)


async def access_policy(
    options: S3Options,
    environment: str = "",
    *,
    role: Role = "both",
    archive: bool = False,
    session: boto3.Session | None = None,
) -> dict[str, object]:
    """Return the least permissions that a role needs, as a policy of IAM for a user or role, without asking S3.

    ``archive`` says that there is an archive beside the packs: a consumer reads it, "both" and "archiver" also write
    it and restore from it, and a producer does nothing with it.

    It covers exactly the bucket, prefix and environment of these options. With ``tags`` it allows tagging, with
    ``kms_key`` the use of the key; the key's own policy must allow it as well.

    Raises:
        ConfigurationError: a setting is missing or wrong, or there is no such profile.
    """
    require_libraries()
    from event_backbone.storage.s3 import policy  # noqa: PLC0415 - imports boto3

    return await asyncio.to_thread(
        policy.access_policy, options.resolved(), environment, role, session, archive=archive
    )


async def check_access(options: S3Options, *, session: boto3.Session | None = None) -> None:
    """Look for credentials and a region, without asking S3.

    Raises:
        ConfigurationError: there is no such profile, there are no credentials, or the region is not known.
    """
    require_libraries()
    from event_backbone.storage.s3.access import find_access  # noqa: PLC0415 - imports boto3

    await asyncio.to_thread(find_access, options.resolved(), session)


async def check_bucket(
    options: S3Options, environment: str = "", *, session: boto3.Session | None = None
) -> BucketState:
    """Return whether the bucket "exists", is "missing", or is "unknown" because these credentials may not ask.

    Asking takes s3:ListBucket, which producing and reading do not need. Raises as ``create_bucket`` does.
    """
    require_libraries()
    from event_backbone.storage.s3 import administration  # noqa: PLC0415 - imports boto3

    return await asyncio.to_thread(administration.state, options.resolved(), environment, session)


async def deleting_rules(
    options: S3Options, environment: str = "", *, folder: Folder = "packs", session: boto3.Session | None = None
) -> list[DeletingRule]:
    """Return the lifecycle rules that delete packs of an environment, or its archive, in whole or in part.

    Rules for noncurrent versions are not among them. Asking takes s3:GetLifecycleConfiguration.

    Raises:
        ConfigurationError: there is no such bucket, S3 has no lifecycle rules, or settings or credentials do not allow
            it.
        StorageUnavailable: S3 does not answer.
    """
    require_libraries()
    from event_backbone.storage.s3 import lifecycle  # noqa: PLC0415 - imports boto3

    return await asyncio.to_thread(lifecycle.deleting_rules, options.resolved(), environment, folder, session)


async def expire_packs(
    options: S3Options, environment: str = "", *, days: int, session: boto3.Session | None = None
) -> None:
    """Let S3 delete the packs of an environment so many days after they were written, at the next midnight (UTC).

    This changes, or adds, one lifecycle rule of the bucket; it may be called again. All other rules stay, but for a
    change that somebody else makes at the same time. Whether events still need their packs is not checked. It takes
    s3:GetLifecycleConfiguration and s3:PutLifecycleConfiguration; raises as ``deleting_rules`` does.
    """
    require_libraries()
    from event_backbone.storage.s3 import lifecycle  # noqa: PLC0415 - imports boto3

    await asyncio.to_thread(lifecycle.expire_packs, options.resolved(), environment, days, session)
