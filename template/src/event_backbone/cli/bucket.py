"""`bucket`: make the bucket that payloads go to, print the permissions that it takes, and let packs expire."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.doctor.finding import Finding, ok
from event_backbone.cli.doctor.lifecycle_checks import lifecycle_findings, packs_of, why_packs_stay
from event_backbone.cli.errors import FAILED, fail, run_async
from event_backbone.cli.output import print_line
from event_backbone.cli.project import project_of, required

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.storage import S3Options


class Role(StrEnum):
    """Whose permissions to print."""

    PRODUCER = "producer"
    CONSUMER = "consumer"
    ARCHIVER = "archiver"
    BOTH = "both"


def bucket() -> None:
    """The S3 bucket of the payloads."""


def create(ctx: typer.Context) -> None:
    """Create the bucket; one that you already own is left unchanged."""
    print_line(run_async(_create(project_of(ctx))))


def policy(
    ctx: typer.Context,
    role: Annotated[Role | None, typer.Option(help="Whose permissions; by default those of the project.")] = None,
) -> None:
    """Print the IAM policy with the least permissions, for exactly this bucket, prefix and environment."""
    print_line(run_async(_policy(project_of(ctx), role)))


def lifecycle(
    ctx: typer.Context,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Let S3 delete packs so many days after they were written.")
    ] = None,
) -> None:
    """Show the rules by which S3 deletes packs, and whether events still need them; with --days, set one."""
    findings = run_async(_lifecycle(project_of(ctx), days))
    for each in findings:
        print_line(each.text)
    if any(each.level == "fail" for each in findings):
        raise typer.Exit(FAILED)


async def _create(project: Project) -> str:
    from event_backbone.storage.buckets import create_bucket  # noqa: PLC0415 - brings boto3

    options, environment = await _bucket_of(project)
    created = await create_bucket(options, environment)
    name = options.resolved().bucket_of(environment)
    return f"Created bucket {name}." if created else f"Bucket {name} already exists."


async def _policy(project: Project, role: Role | None) -> str:
    from event_backbone.storage.buckets import access_policy  # noqa: PLC0415 - brings boto3

    options, environment = await _bucket_of(project)
    # A worker archives beside its handlers.
    role = role or (Role.BOTH if project.produces or project.archives else Role.CONSUMER)
    policy = await access_policy(options, environment, role=role.value, archive=project.archives)
    return json.dumps(policy, indent=2)


async def _lifecycle(project: Project, days: int | None) -> Sequence[Finding]:
    from event_backbone.storage.buckets import expire_packs  # noqa: PLC0415 - brings boto3

    settings = project.load_settings()
    options = required(project.s3_options)(settings)
    async with project.open_backbone(settings) as backbone:
        if days is not None:
            if reason := why_packs_stay(days, backbone):
                fail(reason)
            await expire_packs(options, backbone.environment, days=days)
        findings = await lifecycle_findings(backbone, options)
        return findings or [ok("", f"No lifecycle rule deletes packs in {packs_of(backbone, options)}.")]


async def _bucket_of(project: Project) -> tuple[S3Options, str]:
    settings = project.load_settings()
    options = required(project.s3_options)(settings)
    async with project.open_backbone(settings) as backbone:
        return options, backbone.environment
