"""Runs every check of the doctor, from the settings on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone.cli.doctor.archive_checks import check_archive
from event_backbone.cli.doctor.failover_checks import check_failover
from event_backbone.cli.doctor.finding import Finding, fail, ok
from event_backbone.cli.doctor.group_checks import check_groups
from event_backbone.cli.doctor.lifecycle_checks import check_lifecycle
from event_backbone.cli.doctor.link_checks import check_links
from event_backbone.cli.doctor.migration_checks import check_migration
from event_backbone.cli.doctor.redis_checks import check_redis
from event_backbone.cli.doctor.retention_checks import check_retention
from event_backbone.cli.doctor.runtime_checks import check_runtime
from event_backbone.cli.doctor.s3_checks import check_bucket_exists
from event_backbone.cli.doctor.settings_checks import other_failures, settings_failures
from event_backbone.cli.project import without_server_warnings
from event_backbone.contract import check
from event_backbone.errors import BackboneError, ContractError
from event_backbone.model import StreamName

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.storage import S3Options

_WITHIN = timedelta(seconds=20)


async def examine(project: Project) -> list[Finding]:
    """Run every check that can be run; those that an earlier failure makes impossible are left out."""
    findings = [_contract(project), *check_runtime()]
    try:
        settings = project.load_settings()
    except Exception as error:  # noqa: BLE001 - raised again unless it is about settings
        return findings + settings_failures(error)
    try:
        async with without_server_warnings(), project.open_backbone(settings) as backbone:
            environment = backbone.environment or "none"
            findings.append(ok("Settings", f"Readable; the environment is {environment}"))
            options = None if project.s3_options is None else project.s3_options(settings)
            findings += await _servers(project, backbone, options)
    except Exception as error:  # noqa: BLE001 - as above
        failures = await other_failures(project, settings)
        findings += [*failures, *(each for each in settings_failures(error) if each not in failures)]
    return findings


def _contract(project: Project) -> Finding:
    try:
        check(project.contract)
    except ContractError as error:
        return fail("Contract", str(error))
    return ok("Contract", f"{project.contract.__name__} on {project.uri}")


async def _servers(project: Project, backbone: Backbone, s3_options: S3Options | None) -> list[Finding]:
    findings: list[Finding] = []
    if backbone.redis is not None:
        stream = StreamName.of(project.uri, backbone.environment).key
        of_redis, primaries = await check_redis(backbone.redis, stream, backbone.min_replicas)
        findings += of_redis + check_failover(backbone, project, primaries)
    if s3_options is not None:
        findings += await check_bucket_exists(project, backbone.environment, s3_options)
        findings += await check_lifecycle(backbone, s3_options)
    storage = await _storage(backbone)
    if all(each.text != storage.text for each in findings):
        findings.append(storage)
    if all(each.level != "fail" or each.subject != "Redis" for each in findings):
        findings += await check_groups(backbone, project)
        findings += await check_links(backbone, project)
        findings += await check_retention(backbone, project)
        findings += await check_migration(backbone, project)
    if all(each.level != "fail" for each in findings):
        findings += await check_archive(backbone, project)
    return findings


async def _storage(backbone: Backbone) -> Finding:
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            await backbone.check()
    except BackboneError as error:
        return fail("Storage", str(error))
    except TimeoutError:
        return fail("Storage", f"No answer within {_WITHIN.total_seconds():g} seconds; check the servers' logs.")
    return ok("Storage", "Payloads can be written and read")
