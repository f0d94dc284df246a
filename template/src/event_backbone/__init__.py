"""Event Backbone: typed events over a Redis stream, with payloads in a storage of your choice."""

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, EventOf, event
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import (
    BackboneError,
    ConfigurationError,
    NotSent,
    OutcomeUnknown,
    PayloadErased,
    PayloadGone,
    Reject,
    Retry,
)
from event_backbone.interceptors import HandleInterceptor, Outgoing, ProduceInterceptor
from event_backbone.metadata import EventKey, Metadata
from event_backbone.policy import RetryPolicy
from event_backbone.reader import Reader
from event_backbone.subscription import Subscription

__all__ = [
    "Backbone",
    "BackboneError",
    "ConfigurationError",
    "Consumer",
    "Context",
    "Contract",
    "EventKey",
    "EventOf",
    "HandleInterceptor",
    "Metadata",
    "NotSent",
    "OutcomeUnknown",
    "Outgoing",
    "PayloadErased",
    "PayloadGone",
    "ProduceInterceptor",
    "Reader",
    "Reject",
    "Retry",
    "RetryPolicy",
    "StoredEvent",
    "Subscription",
    "event",
]
