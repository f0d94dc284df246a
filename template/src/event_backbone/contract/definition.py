"""What is known of an event from its method: names, version, signature, codec."""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import Signature

from event_backbone.codec import ArgumentsCodec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventDefinition:
    """One event of a contract in one version.

    ``name`` and ``version`` are its identity on the wire, ``attribute`` is the method's name in Python, ``contract``
    the name of the class that defines it. Two definitions are equal when they are the same object.
    ``key`` names the argument whose value becomes the partition key.
    """

    name: str
    version: int
    attribute: str
    contract: str
    doc: str
    key: str | None
    signature: Signature = field(repr=False)
    codec: ArgumentsCodec = field(repr=False)
