"""The definition of an event, as its method declares it: name, version, signature, codec."""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import Signature

from event_backbone.codec import ArgumentsCodec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventDefinition:
    """One event of a contract in one version.

    ``name`` and ``version`` identify it on the wire, ``attribute`` is the method's name, ``contract`` the name of the
    class that defines it. ``key`` names the argument whose value becomes the partition key; ``deprecated`` says what
    producers should do instead, if the event is deprecated. Two definitions are equal only if they are the same object.
    """

    name: str
    version: int
    attribute: str
    contract: str
    doc: str
    key: str | None
    deprecated: str | None
    signature: Signature = field(repr=False)
    codec: ArgumentsCodec = field(repr=False)

    @property
    def deprecation(self) -> str:
        """A sentence for those who produce the event; empty if it is not deprecated."""
        if self.deprecated is None:
            return ""
        return f"Event {self.contract}.{self.attribute} is deprecated: {self.deprecated.rstrip('.')}."
