"""Does the bucket exist?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, fail, ok, warn
from event_backbone.errors import BackboneError

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.storage import S3Options

_SUBJECT = "S3 bucket"


async def check_bucket_exists(project: Project, environment: str, options: S3Options) -> list[Finding]:
    """Look for the bucket. Missing permission to do so is no failure: producing and reading do not need it."""
    from event_backbone.storage.buckets import check_bucket  # noqa: PLC0415 - brings boto3
    from event_backbone.storage.s3.keys import below_environment  # noqa: PLC0415

    try:
        bucket = options.resolved().bucket_of(environment)
        state = await check_bucket(options, environment)
    except BackboneError as error:
        return [fail(_SUBJECT, str(error))]
    if state == "missing":
        return [fail(_SUBJECT, f"There is no bucket {bucket}; create it with: {project.name} bucket create")]
    if state == "unknown":
        text = f"Without s3:ListBucket nobody can check whether {bucket} exists; producing and reading work without it."
        return [warn(_SUBJECT, text)]
    folder = below_environment(options.resolved(), environment, f"packs/{project.uri}/")
    return [ok(_SUBJECT, f"{bucket} exists; payloads are below s3://{bucket}/{folder}")]
