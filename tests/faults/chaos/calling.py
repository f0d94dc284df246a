"""Callers that produce during a chaos round, and the outcome of each of their calls."""

import asyncio
from itertools import count
from random import Random

from event_backbone.backbone import Backbone
from event_backbone.errors import BackboneError, OutcomeUnknown
from event_backbone.model import EventKey
from tests.support.parcels import URI, Parcels


class Callers:
    """Produces numbers from several tasks. Every number ends up in exactly one of the three collections."""

    def __init__(self, backbone: Backbone, pause_seconds: float) -> None:
        self._producer = backbone.producer(Parcels, uri=URI)
        self._pause_seconds = pause_seconds
        self._numbers = count(1)
        self.calm = asyncio.Event()
        self.acknowledged: dict[int, EventKey] = {}
        self.unknown: set[int] = set()
        self.refused: dict[int, str] = {}
        self.problems: list[str] = []

    async def run(self, random: Random) -> None:
        """Call until all is calm, and then until one more call has succeeded."""
        while True:
            calm = self.calm.is_set()
            number = next(self._numbers)
            await self._call(number, random)
            if calm and number in self.acknowledged:
                return
            await asyncio.sleep(random.uniform(0, 2 * self._pause_seconds))

    async def _call(self, number: int, random: Random) -> None:
        try:
            self.acknowledged[number] = await self._producer.packed(number)
        except OutcomeUnknown as error:
            self.unknown.add(number)
            if random.random() < 0.5:
                await self._call_again(number, error)
        except BackboneError as error:
            self.refused[number] = type(error).__name__
        except Exception as error:  # noqa: BLE001 - reported with the other problems of the round, not instead of them
            self.unknown.add(number)
            self.problems.append(f"the call of {number} raised {error!r}")

    async def _call_again(self, number: int, error: OutcomeUnknown) -> None:
        try:
            key = await self._producer.packed.using(event_id=error.event_id)(number)
        except BackboneError:
            return
        self.unknown.discard(number)
        self.acknowledged[number] = key
