"""Event Backbone: typed events over a Redis stream, with payloads in a storage of your choice.

Each name but the errors is imported on first use: a health probe, which runs every few seconds, imports none.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from event_backbone.errors import (
    ArchiveUnreadable,
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
    EventsLost,
    GroupMissing,
    HandlerDecision,
    LeaseLost,
    NotSent,
    OnceInvalid,
    OutcomeUnknown,
    PartlySent,
    PayloadErased,
    PayloadForbidden,
    PayloadGone,
    PayloadNotGiven,
    ProjectionFailed,
    Reject,
    ReplayStopped,
    RequirementUnknown,
    Retry,
    StorageError,
    StorageMissing,
    StorageUnavailable,
    StreamError,
    StreamUnavailable,
    UnknownEvent,
    UnknownVersion,
)

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.backoff import Backoff
    from event_backbone.consumer import Batch, BatchedEvent, Consumer, Context
    from event_backbone.contract import Contract, EventOf, event
    from event_backbone.contract.stored_event import StoredEvent
    from event_backbone.dead_letters import DeadEvent, DeadLetterCount, DeadLetterFilters, DeadLetters, Redriven
    from event_backbone.explaining import CausedEvent, Explanation, GroupLife
    from event_backbone.forward import Forwarder, VerifyReport
    from event_backbone.groups import SeekReport
    from event_backbone.interceptors import HandleInterceptor, Outgoing, ProduceInterceptor
    from event_backbone.logs import EventLogFilter
    from event_backbone.migration.report import MigrationProgress, MigrationReport, StorageReferences
    from event_backbone.model import EventKey, Hop, Metadata, Origin
    from event_backbone.place import place_of
    from event_backbone.policy import RetryPolicy
    from event_backbone.reader import Reader
    from event_backbone.replay import DebugReport, HeldBack, ReplayFailure, ReplayOptions, ReplayReport
    from event_backbone.retention import Retention
    from event_backbone.retention.by_hand import RetentionState, TrimReport
    from event_backbone.stream.redis.forwarding import LinkState
    from event_backbone.stream.values import GroupDeletion, GroupState, PendingEntry
    from event_backbone.subscription import Subscription, SubscriptionOptions
    from event_backbone.worker import Worker

__all__ = [
    "ArchiveUnreadable",
    "ArgumentsInvalid",
    "Backbone",
    "BackboneClosed",
    "BackboneError",
    "Backoff",
    "Batch",
    "BatchedEvent",
    "CausedEvent",
    "ConfigurationError",
    "Consumer",
    "Context",
    "Contract",
    "ContractError",
    "DeadEvent",
    "DeadLetterCount",
    "DeadLetterFilters",
    "DeadLetters",
    "DebugReport",
    "DecodeError",
    "EntryUnreadable",
    "EventIdAhead",
    "EventIdExpired",
    "EventKey",
    "EventLogFilter",
    "EventNotFound",
    "EventOf",
    "EventsLost",
    "Explanation",
    "Forwarder",
    "GroupDeletion",
    "GroupLife",
    "GroupMissing",
    "GroupState",
    "HandleInterceptor",
    "HandlerDecision",
    "HeldBack",
    "Hop",
    "LeaseLost",
    "LinkState",
    "Metadata",
    "MigrationProgress",
    "MigrationReport",
    "NotSent",
    "OnceInvalid",
    "Origin",
    "OutcomeUnknown",
    "Outgoing",
    "PartlySent",
    "PayloadErased",
    "PayloadForbidden",
    "PayloadGone",
    "PayloadNotGiven",
    "PendingEntry",
    "ProduceInterceptor",
    "ProjectionFailed",
    "Reader",
    "Redriven",
    "Reject",
    "ReplayFailure",
    "ReplayOptions",
    "ReplayReport",
    "ReplayStopped",
    "RequirementUnknown",
    "Retention",
    "RetentionState",
    "Retry",
    "RetryPolicy",
    "SeekReport",
    "StorageError",
    "StorageMissing",
    "StorageReferences",
    "StorageUnavailable",
    "StoredEvent",
    "StreamError",
    "StreamUnavailable",
    "Subscription",
    "SubscriptionOptions",
    "TrimReport",
    "UnknownEvent",
    "UnknownVersion",
    "VerifyReport",
    "Worker",
    "event",
    "place_of",
]

_HOMES = {
    "Backbone": "backbone",
    "Backoff": "backoff",
    "Batch": "consumer",
    "BatchedEvent": "consumer",
    "CausedEvent": "explaining",
    "Consumer": "consumer",
    "Context": "consumer",
    "Contract": "contract",
    "DeadEvent": "dead_letters",
    "DeadLetterCount": "dead_letters",
    "DeadLetterFilters": "dead_letters",
    "DeadLetters": "dead_letters",
    "DebugReport": "replay",
    "EventKey": "model",
    "EventLogFilter": "logs",
    "EventOf": "contract",
    "Explanation": "explaining",
    "Forwarder": "forward",
    "GroupDeletion": "stream.values",
    "GroupLife": "explaining",
    "GroupState": "stream.values",
    "HandleInterceptor": "interceptors",
    "HeldBack": "replay",
    "Hop": "model",
    "LinkState": "stream.redis.forwarding",
    "Metadata": "model",
    "MigrationProgress": "migration.report",
    "MigrationReport": "migration.report",
    "Origin": "model",
    "Outgoing": "interceptors",
    "PendingEntry": "stream.values",
    "ProduceInterceptor": "interceptors",
    "Reader": "reader",
    "Redriven": "dead_letters",
    "ReplayFailure": "replay",
    "ReplayOptions": "replay",
    "ReplayReport": "replay",
    "Retention": "retention",
    "RetentionState": "retention.by_hand",
    "RetryPolicy": "policy",
    "SeekReport": "groups",
    "StorageReferences": "migration.report",
    "StoredEvent": "contract.stored_event",
    "Subscription": "subscription",
    "SubscriptionOptions": "subscription",
    "TrimReport": "retention.by_hand",
    "VerifyReport": "forward",
    "Worker": "worker",
    "event": "contract",
    "place_of": "place",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
