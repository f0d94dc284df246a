"""Whether the Sentinels answer, agree, and could carry out a failover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from event_backbone.cli.doctor.finding import Finding, ok, warn
from event_backbone.cli.output import counted
from event_backbone.connection import SentinelView, ask_sentinels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from event_backbone.settings import RedisSettings

_SUBJECT = "Sentinels"
_ENOUGH = 3


async def check_sentinels(settings: RedisSettings) -> Finding:
    """Check every Sentinel of the endpoint; one at least has just named the primary."""
    views = await ask_sentinels(settings)
    answering = [each for each in views.values() if each is not None]
    if problem := _silence(views) or _dissent(answering) or _number(answering, len(views)):
        return warn(_SUBJECT, problem)
    return ok(
        _SUBJECT,
        f"{counted(len(answering), 'Sentinel')} answer, quorum {answering[0].quorum}: a failover can be carried out",
    )


def _silence(views: Mapping[str, SentinelView | None]) -> str:
    silent = sorted(address for address, view in views.items() if view is None)
    if not silent:
        return ""
    return f"{len(views) - len(silent)} of {len(views)} know the service; start, or repair, {', '.join(silent)}."


def _dissent(views: Sequence[SentinelView]) -> str:
    primaries = sorted({each.primary for each in views})
    if len(primaries) > 1:
        return f"They name several primaries, {' and '.join(primaries)}; if that lasts, look at their logs."
    if refusal := next((each.refusal for each in views if each.refusal), ""):
        return f"No failover can be carried out: {refusal}"
    if any(each.refusal is None for each in views):
        return "All know the service; this user may not use SENTINEL CKQUORUM, which says whether they can act."
    return ""


def _number(views: Sequence[SentinelView], named: int) -> str:
    there = max(each.sentinels for each in views)
    if there < _ENOUGH:
        return f"There {'is' if there == 1 else 'are'} only {there}; run three, so that one may be lost."
    if there > named:
        return f"The endpoint names {named} of {there}; name all, so that any may be lost."
    return ""
