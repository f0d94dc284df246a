"""What is known of an event that only the archive has."""

from tests.archive.conftest import Make
from tests.support.parcels import URI, Remembering, pack, stopped_within


async def test_an_event_that_has_left_the_stream_is_explained_from_the_archive(archived_backbone: Make) -> None:
    """Whether a group had finished it is known as far as Redis still knows."""
    async with archived_backbone("redis-hash") as backbone:
        await pack(backbone, 1, 2)
        first, second = [each.key async for each in backbone.reader(URI).scan()]
        async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group="g", until="empty")) as one:
            await one.wait()
        async with backbone.archiver(URI) as archiver:
            await archiver.commit()
        assert (await backbone.trim(URI, before=second)).removed == 1
        found = await backbone.explain(URI, first)
        assert found.event.segment is not None
        assert [(each.group, each.state) for each in found.groups] == [("g", "finished")]
        await backbone.seek(URI, "g", "beginning")
        assert [each.state for each in (await backbone.explain(URI, first)).groups] == ["cut"]
        assert (await backbone.seek(URI, "g", "beginning")).complete_from == first.successor()
