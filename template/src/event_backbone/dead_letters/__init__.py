"""The dead letters of a group: what is in them, and what becomes of them."""

from event_backbone.dead_letters.filters import DeadLetterFilters
from event_backbone.dead_letters.letters import DeadEvent, DeadLetterCount, DeadLetters, Redriven

__all__ = ["DeadEvent", "DeadLetterCount", "DeadLetterFilters", "DeadLetters", "Redriven"]
