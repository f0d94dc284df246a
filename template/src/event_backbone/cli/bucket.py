"""`bucket`: make the bucket that payloads go to, and print the permissions that it takes."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.errors import run_async
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


async def _bucket_of(project: Project) -> tuple[S3Options, str]:
    settings = project.load_settings()
    options = required(project.s3_options)(settings)
    async with project.open_backbone(settings) as backbone:
        return options, backbone.environment
