"""`bucket create`: make the bucket that payloads go to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from event_backbone.cli.errors import run_async
from event_backbone.cli.output import print_line
from event_backbone.cli.project import project_of, required

if TYPE_CHECKING:
    from event_backbone.cli.project import Project


def bucket() -> None:
    """The S3 bucket of the payloads."""


def create(ctx: typer.Context) -> None:
    """Create the bucket; one that you already own is left unchanged."""
    print_line(run_async(_create(project_of(ctx))))


async def _create(project: Project) -> str:
    from event_backbone.storage.buckets import create_bucket  # noqa: PLC0415 - brings boto3

    settings = project.load_settings()
    options = required(project.s3_options)(settings)
    async with project.open_backbone(settings) as backbone:
        environment = backbone.environment
    created = await create_bucket(options, environment)
    name = options.resolved().bucket_of(environment)
    return f"Created bucket {name}." if created else f"Bucket {name} already exists."
