"""Batches of events of which a part is missing, or that are of an older version."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from event_backbone import Batch, Consumer, Context
from tests.support.eventually import eventually
from tests.support.parcels import stopped_within
from tests.unit.test_partial_payloads import GROUP, URI, LaterOrders, Shop


@pytest.mark.parametrize("intercepted", [False, True])
@pytest.mark.parametrize("replayed", [False, True])
async def test_a_batch_has_partial_and_old_events_but_none_that_is_erased(*, intercepted: bool, replayed: bool) -> None:
    """All of one name come together in the order of the stream, whatever their version is and where they are stored."""
    shop, consumer, batches = Shop(), Consumer(LaterOrders), list[list[tuple[object, ...]]]()
    part, erased, _ = await shop.place(1, 2, 3)
    await shop.erase(part)

    @consumer.on_batch(LaterOrders.order_placed, most=4, within=timedelta(seconds=30))
    async def order_placed(batch: Batch[[int, str, str | None, str | None]]) -> None:
        batches.append([(*each.arguments.values(), each.ctx.metadata.missing) for each in batch])

    async def pass_on(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        await call_next(ctx)

    async with shop.backbone_without_split(handle_interceptors=[pass_on] if intercepted else []) as backbone:
        await backbone.erase(URI, erased)
        await backbone.producer(LaterOrders, uri=URI).order_placed(4, "second", "bob@example.org", "example.org")
        if replayed:
            report = await backbone.replay(consumer, URI)
            assert (report.handled, report.skipped) == ({"order_placed": 3}, {"erased": 1})
        else:
            async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP)) as subscription:
                await eventually(lambda: subscription.handled == 4)
            assert [each async for each in backbone.dead_letters(URI, GROUP).list()] == []
    (batch,) = batches
    assert [dict(zip(("number", "shop", "email", "domain"), each[:-1], strict=True)) for each in batch] == [
        {"number": 1, "shop": "first", "email": None, "domain": "nowhere"},
        {"number": 3, "shop": "first", "email": "ada@example.com", "domain": "example.com"},
        {"number": 4, "shop": "second", "email": "bob@example.org", "domain": "example.org"},
    ]
    assert [each[-1] for each in batch] == [("email",), (), ()]
