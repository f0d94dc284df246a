"""Event Backbone: typed events over a Redis stream, with payloads in a storage of your choice."""

from event_backbone.backbone import Backbone
from event_backbone.backoff import Backoff
from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, EventOf, event
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import (
    ArgumentsInvalid,
    BackboneClosed,
    BackboneError,
    ConfigurationError,
    ContractError,
    DecodeError,
    EntryUnreadable,
    EventIdAhead,
    EventIdExpired,
    EventNotFound,
    GroupMissing,
    HandlerDecision,
    LeaseLost,
    NotSent,
    OutcomeUnknown,
    PayloadConflict,
    PayloadErased,
    PayloadForbidden,
    PayloadGone,
    Reject,
    Retry,
    StorageError,
    StorageUnavailable,
    StreamError,
    StreamUnavailable,
    UnknownEvent,
    UnknownVersion,
)
from event_backbone.interceptors import HandleInterceptor, Outgoing, ProduceInterceptor
from event_backbone.model import EventKey, Metadata
from event_backbone.policy import RetryPolicy
from event_backbone.reader import Reader
from event_backbone.subscription import Subscription

__all__ = [
    "ArgumentsInvalid",
    "Backbone",
    "BackboneClosed",
    "BackboneError",
    "Backoff",
    "ConfigurationError",
    "Consumer",
    "Context",
    "Contract",
    "ContractError",
    "DecodeError",
    "EntryUnreadable",
    "EventIdAhead",
    "EventIdExpired",
    "EventKey",
    "EventNotFound",
    "EventOf",
    "GroupMissing",
    "HandleInterceptor",
    "HandlerDecision",
    "LeaseLost",
    "Metadata",
    "NotSent",
    "OutcomeUnknown",
    "Outgoing",
    "PayloadConflict",
    "PayloadErased",
    "PayloadForbidden",
    "PayloadGone",
    "ProduceInterceptor",
    "Reader",
    "Reject",
    "Retry",
    "RetryPolicy",
    "StorageError",
    "StorageUnavailable",
    "StoredEvent",
    "StreamError",
    "StreamUnavailable",
    "Subscription",
    "UnknownEvent",
    "UnknownVersion",
    "event",
]
