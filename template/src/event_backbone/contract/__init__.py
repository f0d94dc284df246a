"""Contracts: the events of a stream and the types of their arguments."""

from event_backbone.contract.contract import Contract, bind, check, events_of, known_arguments
from event_backbone.contract.decode import decode_event, decode_partial, definition_for
from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.event_decorator import EventOf, event
from event_backbone.contract.round_trip import assert_round_trip
from event_backbone.contract.send import SendOptions, send_of

__all__ = [
    "Contract",
    "EventDefinition",
    "EventOf",
    "SendOptions",
    "assert_round_trip",
    "bind",
    "check",
    "decode_event",
    "decode_partial",
    "definition_for",
    "event",
    "events_of",
    "known_arguments",
    "send_of",
]
