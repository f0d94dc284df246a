"""Do the lifecycle rules of the bucket leave what events still need?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, fail, ok, warn
from event_backbone.cli.output import counted
from event_backbone.errors import BackboneError
from event_backbone.retention.packs import why_packs_are_needed
from event_backbone.storage.s3.keys import below_environment

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.storage import S3Options
    from event_backbone.storage.s3.lifecycle import DeletingRule

_SUBJECT = "S3 lifecycle"
_ONLY_RECORD = "Without an archive, packs are the only record of events: add an archive before they expire."


async def check_lifecycle(backbone: Backbone, options: S3Options) -> list[Finding]:
    """Judge each rule that deletes packs, or the archive; find nothing if S3 does not say what rules there are."""
    try:
        return await lifecycle_findings(backbone, options)
    except BackboneError:
        return []


async def lifecycle_findings(backbone: Backbone, options: S3Options) -> list[Finding]:
    """Judge each rule that deletes packs, or the archive.

    Raises:
        ConfigurationError, StorageUnavailable: S3 does not say what rules there are.
    """
    from event_backbone.storage.buckets import deleting_rules  # noqa: PLC0415 - brings boto3

    rules = await deleting_rules(options, backbone.environment)
    findings = [_of_packs(each, backbone, options) for each in rules]
    if backbone.archive is not None:
        archive = backbone.archive.options
        rules = await deleting_rules(archive, backbone.environment, folder="archive")
        place = _place(archive, backbone.environment, "archive")
        text = "A segment that is missing ends the history there: remove the rule, or give it another prefix."
        findings += [fail(_SUBJECT, f"{_what(each, 'segments', place)}. {text}") for each in rules]
    return findings


def why_packs_stay(days: int, backbone: Backbone) -> str | None:
    """Return in one sentence why packs of a backbone must not expire after so many days; None if they may."""
    return _ONLY_RECORD if backbone.archive is None else why_packs_are_needed(days, backbone.retention)


def packs_of(backbone: Backbone, options: S3Options) -> str:
    """Return where the packs of a backbone are, for people."""
    return _place(options, backbone.environment, "packs")


def _of_packs(rule: DeletingRule, backbone: Backbone, options: S3Options) -> Finding:
    what = _what(rule, "packs", packs_of(backbone, options))
    if reason := why_packs_are_needed(rule.days, backbone.retention):
        return fail(_SUBJECT, f"{what}. {reason}")
    if backbone.archive is None:
        return warn(_SUBJECT, f"{what}. {_ONLY_RECORD}")
    return ok(_SUBJECT, f"{what}; no event in Redis needs them that long")


def _what(rule: DeletingRule, objects: str, place: str) -> str:
    after = f"{counted(rule.days, 'day')} after they were written" if rule.days else "from a certain date on"
    return f"Rule {rule.name} deletes {objects} in {place} {after}"


def _place(options: S3Options, environment: str, folder: str) -> str:
    resolved = options.resolved()
    return f"s3://{resolved.bucket_of(environment)}/{below_environment(resolved, environment, f'{folder}/')}"
