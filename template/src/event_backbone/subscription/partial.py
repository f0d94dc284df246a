"""A delivery without a part of its payload: what handlers get, and how they and operators learn of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from event_backbone import telemetry
from event_backbone.consumer import Context
from event_backbone.contract import Contract, EventDefinition, decode_partial
from event_backbone.model import PartialPayload


def decode_delivery(
    contract: type[Contract], payload: PartialPayload, ctx: Context[Any], attributes: telemetry.Attributes
) -> tuple[EventDefinition, dict[str, object]]:
    """Return the event's definition and arguments, count it, and name what is missing in the context's metadata.

    Raises as ``decode_partial`` does.
    """
    metadata = ctx.metadata
    definition, arguments, missing = decode_partial(contract, metadata.event, metadata.version, payload)
    ctx.metadata = replace(metadata, missing=missing)
    for reason in set(payload.states().values()):
        telemetry.partial.add(1, {**attributes, "reason": reason})
    return definition, arguments
