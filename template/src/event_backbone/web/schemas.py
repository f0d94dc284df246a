"""The bodies of responses, as the OpenAPI page shows them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from event_backbone.model import EventKey


class ProducedResponse(BaseModel):
    """An event that is now in the stream."""

    key: EventKey = Field(description="The event's position in its stream.")


class EventResponse(BaseModel):
    """An event of the stream."""

    key: EventKey
    event_id: UUID
    event: str = Field(description="The event's name on the wire.")
    version: int
    produced_at: datetime
    uri: str
    environment: str
    correlation_id: str
    causation_id: str | None
    payload: Literal["present", "partial", "gone", "erased", "withheld"] = Field(
        description="Whether the payload is there, or a part of it, is missing or expired, was erased, or is not "
        "returned here."
    )
    arguments: dict[str, JsonValue] | None = Field(description="The payload by argument name, as far as it is there.")
    locations: list[str] = Field(
        description="Where each part of the payload is: a Redis key, a line in S3, or the stream entry. "
        "Empty if it is withheld."
    )


class ErrorResponse(BaseModel):
    """What is wrong, in one sentence."""

    detail: str


class OutcomeUnknownResponse(ErrorResponse):
    """The event may or may not be in the stream."""

    event_id: UUID


class HealthResponse(BaseModel):
    """Whether the process lives, or is ready to work; if not, why."""

    status: Literal["ok", "unavailable"]
    detail: str | None = None


class GroupLagResponse(BaseModel):
    """How far one consumer group of a stream is behind."""

    uri: str
    group: str
    exists: bool = Field(description="False for a group that was asked for, and that its first worker will make.")
    backlog: int = Field(description="How many events need a worker now: unread, in flight, or parked and due.")
    unread: int = Field(description="How many events it has not read.")
    oldest_unread_seconds: float | None = Field(description="The age of the oldest of these; null without any.")
    pending: int = Field(description="How many events are delivered and not finished, parked ones included.")
    oldest_pending_seconds: float | None = Field(description="The age of the oldest of these; null without any.")
    parked: int = Field(description="How many failed events wait for their next attempt.")
    due: int = Field(description="How many of these need not wait any longer.")
    dead_letters: int
    consumers: int


class LagResponse(BaseModel):
    """How far consumer groups are behind."""

    backlog: int = Field(description="The sum of the groups' backlogs: above 0 whenever a worker has something to do.")
    groups: list[GroupLagResponse]
