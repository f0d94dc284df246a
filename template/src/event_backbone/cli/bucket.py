"""`bucket create`: make the bucket that payloads go to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from event_backbone.cli.errors import run_async
from event_backbone.cli.output import print_line

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.storage import S3Options


def add_to(cli: typer.Typer, project: Project, options: Callable[[], S3Options]) -> None:
    """Add the command group."""
    bucket = typer.Typer(help="The S3 bucket of the payloads.", no_args_is_help=True)
    cli.add_typer(bucket, name="bucket")

    @bucket.callback()
    def group() -> None:
        """Keep `create` a command of its own, though it is the only one."""

    @bucket.command()
    def create() -> None:
        """Create the bucket; one that is yours already stays as it is."""
        print_line(run_async(_create(project, options())))

    del group, create


async def _create(project: Project, options: S3Options) -> str:
    from event_backbone.storage.buckets import create_bucket  # noqa: PLC0415 - brings boto3

    async with project.open_backbone() as backbone:
        environment = backbone.environment
    made = await create_bucket(options, environment)
    return f"Bucket {options.resolved().bucket_of(environment)} " + ("is created." if made else "exists already.")
