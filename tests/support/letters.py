"""A contract whose events may be split, and what is produced with it."""

import asyncio
import json
from collections.abc import Collection, Sequence
from typing import cast

from redis.asyncio import Redis

from event_backbone import Backbone, Consumer, Context, Contract, EventKey, event

URI = "letters"
STREAM = "test:letters"
GROUP = "main-consumer"


class Letters(Contract):
    """What happens to letters."""

    @event
    def sent(self, number: int, email: str | None = None) -> None:
        """A letter is on its way."""


async def send(backbone: Backbone, *numbers: int, uri: str = URI) -> Sequence[EventKey]:
    """Produce one event for each number, in order, and return their keys."""
    producer = backbone.producer(Letters, uri=uri)
    return await asyncio.gather(*[producer.sent(number, f"ada{number}@example.com") for number in numbers])


async def numbers_of(backbone: Backbone, uri: str = URI, /, **how: object) -> list[int]:
    """Return the numbers of the events that a scan yields."""
    scan = backbone.reader(uri).scan(**how)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    return [cast("int", event.arguments["number"]) async for event in scan]


def consumer_of(numbers: list[int]) -> Consumer[Letters]:
    """Return a consumer that notes the number of each event."""
    consumer = Consumer(Letters)

    @consumer.on(Letters.sent)
    async def note(_: Context, number: int, email: str | None = None) -> None:
        numbers.append(number)

    return consumer


async def trim(redis: Redis, before: EventKey, keep: Collection[EventKey] = ()) -> None:
    """Remove the entries before this key with their payload hashes as retention does, in one step; ``keep`` stay."""
    kept = {key.entry_id.encode() for key in keep}
    rows = [row for row in await rows_of(redis, f"({before.entry_id}") if row[0] not in kept]
    async with redis.pipeline() as steps:
        for entry_id, fields in rows:
            steps.xdel(STREAM, entry_id)
            steps.delete(f"{{{STREAM}}}:payload:{json.loads(fields[b'metadata'])['id']}")
        steps.hset(f"{{{STREAM}}}:archive", "complete-from", before.entry_id)
        await steps.execute()


async def rows_of(redis: Redis, last: str = "+") -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return the entries up to ``last`` as they are in the stream: ids and fields."""
    return cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange(STREAM, max=last))


async def add_entry(redis: Redis, *, entry_id: str = "*", **fields: str) -> None:
    """Append an entry as another program may write it; ``arg_number`` is an inline argument."""
    await redis.xadd(STREAM, {name.replace("_", ":"): value for name, value in fields.items()}, id=entry_id)
