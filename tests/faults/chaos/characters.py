"""How each event of a chaos round behaves when it is handled: its seed and its number decide."""

from random import Random
from typing import Literal, get_args

Character = Literal[
    "plain",
    "slow",
    "blocks",
    "blocks beyond the lease",
    "fails twice",
    "asks for a retry",
    "cancels itself",
    "cancels another",
    "keeps a cancellation",
    "is rejected",
    "always fails",
]

_CHARACTERS: tuple[Character, ...] = get_args(Character)
_WEIGHTS = (700, 100, 40, 3, 50, 50, 15, 10, 10, 12, 10)

STOPS_ALL: Character = "blocks beyond the lease"
"""The character that others cannot distinguish from a process that has ended."""

MEANT_TO_DIE: dict[Character, str] = {"is rejected": "rejected", "always fails": "attempts-exhausted"}
"""The characters that end as dead letters, and with which reason."""


def character(seed: int, number: int) -> Character:
    """Return how the event with this number behaves: the same in every process and at every attempt."""
    return Random(f"{seed}/{number}").choices(_CHARACTERS, _WEIGHTS)[0]
