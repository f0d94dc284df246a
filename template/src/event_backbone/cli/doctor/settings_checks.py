"""Which settings are missing or wrong: all of them at once, each in a sentence that names its variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from event_backbone.cli.doctor.finding import Finding, fail
from event_backbone.errors import BackboneError
from event_backbone.settings import NO_REDIS_ENDPOINT, REDIS_ENDPOINT_VARIABLE
from event_backbone.user_messages import user_messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from event_backbone.cli.project import Project
    from event_backbone.storage import S3Options

_SUBJECT = "Settings"


def settings_failures(error: Exception) -> list[Finding]:
    """Return a failure for each setting that an error is about; raise an error that is about something else."""
    if not (messages := user_messages(error)):
        raise error
    return [fail(_SUBJECT, each) for each in messages]


async def other_failures(project: Project, settings: object) -> list[Finding]:
    """Return a failure for each missing or wrong setting, whichever of them has kept the backbone from opening."""
    return [*_redis(settings), *await _s3(project, settings)]


def _redis(settings: object) -> list[Finding]:
    """Look for the endpoint in settings that have a field for its variable; the backbone says what is wrong with it."""
    fields: Mapping[str, Any] = getattr(type(settings), "model_fields", {})
    named = [name for name, field in fields.items() if field.validation_alias == REDIS_ENDPOINT_VARIABLE]
    missing = bool(named) and not getattr(settings, named[0])
    return [fail(_SUBJECT, NO_REDIS_ENDPOINT)] if missing else []


async def _s3(project: Project, settings: object) -> list[Finding]:
    if project.s3_options is None:
        return []
    try:
        options: S3Options = project.s3_options(settings)
        if problems := options.problems():
            return [fail(_SUBJECT, each) for each in problems]
        from event_backbone.storage.buckets import check_access  # noqa: PLC0415 - brings boto3

        await check_access(options)
    except BackboneError as error:
        return [fail(_SUBJECT, str(error))]
    return []
