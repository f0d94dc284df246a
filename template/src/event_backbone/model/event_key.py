"""The position of an event in its stream."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from pydantic_core import core_schema

from event_backbone.errors import ConfigurationError
from event_backbone.model.fast_objects import setter_of

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_TEXT = re.compile(r"(?P<milliseconds>[0-9]{1,20})-(?P<sequence>[0-9]{1,20})(?:~(?P<partition>[0-9]{1,5}))?")
_LARGEST = 2**64 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND = 253402300799999


@dataclass(frozen=True, slots=True, order=True)
class EventKey:
    """The position of an event in its stream: the server's append time in milliseconds, and a sequence number in it.

    Keys of one stream are ordered as its events are. As text a key is ``1764041094123-0``, with ``~n`` appended for
    partition n; pydantic reads and writes it as that text. A key does not name its stream.
    """

    milliseconds: int
    sequence: int = 0
    partition: int = 0

    def __init__(self, milliseconds: int, sequence: int = 0, partition: int = 0) -> None:
        """Set the three numbers (fast path, see decision 0005)."""
        _set_milliseconds(self, milliseconds)
        _set_sequence(self, sequence)
        _set_partition(self, partition)

    def __str__(self) -> str:
        """Return the text form."""
        position = f"{self.milliseconds}-{self.sequence}"
        return position if self.partition == 0 else f"{position}~{self.partition}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; raise ConfigurationError (ValueError inside pydantic) if the text is not valid."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ConfigurationError(f"{text[:60]!r} is not a valid event key; one looks like 1764041094123-0.")
        milliseconds, sequence, partition = (int(part or 0) for part in match.groups())
        if milliseconds > _LARGEST or sequence > _LARGEST:
            raise ConfigurationError(f"{text[:60]!r} is not a valid event key; both numbers must fit in 64 bits.")
        return cls(milliseconds, sequence, partition)

    def predecessor(self) -> Self:
        """Return the greatest key before this one, in the same partition; of the first key, itself."""
        if self.sequence:
            return type(self)(self.milliseconds, self.sequence - 1, self.partition)
        return type(self)(self.milliseconds - 1, _LARGEST, self.partition) if self.milliseconds else self

    def successor(self) -> Self:
        """Return the smallest key after this one, in the same partition."""
        if self.sequence < _LARGEST:
            return type(self)(self.milliseconds, self.sequence + 1, self.partition)
        return type(self)(self.milliseconds + 1, 0, self.partition)

    @property
    def time(self) -> datetime:
        """When the event was appended, by the server's clock: aware, UTC; at most the end of the year 9999."""
        return _EPOCH + timedelta(milliseconds=min(self.milliseconds, _LAST_MILLISECOND))

    @property
    def entry_id(self) -> str:
        """The id of the entry in the Redis stream, without the partition."""
        return f"{self.milliseconds}-{self.sequence}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Let pydantic read and write a key as text."""

        def from_text(text: str) -> EventKey:
            try:
                return cls.parse(text)
            except ConfigurationError as error:
                raise ValueError(str(error)) from error

        text_schema = core_schema.no_info_after_validator_function(from_text, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=text_schema,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), text_schema]),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the text form."""
        return {"type": "string", "pattern": "^[0-9]+-[0-9]+(~[0-9]+)?$", "examples": ["1764041094123-0"]}


_set_milliseconds, _set_sequence, _set_partition = (
    setter_of(EventKey, slot) for slot in ("milliseconds", "sequence", "partition")
)
