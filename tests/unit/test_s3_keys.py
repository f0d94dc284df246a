"""Where a pack is in the bucket."""

from datetime import UTC, datetime, timedelta

from event_backbone.model import StreamName
from event_backbone.storage import S3Options
from event_backbone.storage.s3.keys import earliest_pack_key, pack_id_of, pack_key
from event_backbone.storage.s3.pack_line import PackLine

PACK = "0198a5c2000070008000000000000001"


def test_an_object_key_is_the_same_in_every_process_and_release() -> None:
    """Readers compute it from the reference; a changed layout would lose every payload."""
    stream = StreamName.of("orders/eu", "dev")
    options = S3Options("events", prefix="all").resolved({})
    assert pack_key(options, stream, PACK) == f"all/dev/packs/orders/eu/2025/08/13/23/{PACK}.jsonl"
    nowhere = S3Options("events", environment_in="nothing").resolved({})
    assert pack_key(nowhere, stream, PACK) == f"packs/orders/eu/2025/08/13/23/{PACK}.jsonl"


def test_the_key_of_a_reference_says_which_line_of_which_pack_it_is() -> None:
    """As it is in the metadata of entries."""
    line = PackLine(PACK, 123, 4567)
    assert str(line) == f"{PACK}_123_4567"
    assert PackLine.parse(str(line)) == line


def test_the_packs_of_a_stream_are_known_by_their_keys() -> None:
    """Those of other URIs are below the same folder, and anybody may put other things there."""
    stream, options = StreamName.of("orders", "dev"), S3Options("events").resolved({})
    key = pack_key(options, stream, PACK)
    assert pack_id_of(options, stream, key) == PACK
    for other in (
        pack_key(options, StreamName.of("orders/2025", "dev"), PACK),
        pack_key(options, StreamName.of("orders/2025/08/13/23", "dev"), PACK),
        key.replace("2025", "2024"),
        key.replace(PACK, PACK.upper()),
        key.replace(PACK, "f" * 32),
        f"{key}.bak",
        f"{key[:-39]}",
    ):
        assert pack_id_of(options, stream, other) is None


def test_packs_are_in_order_after_the_time_since_which_they_were_begun() -> None:
    """To the millisecond; a time before 1970 is as good as 1970."""
    stream, options = StreamName.of("orders", "dev"), S3Options("events").resolved({})
    began = datetime.fromtimestamp(int(PACK[:12], 16) / 1000, UTC)
    key, later = pack_key(options, stream, PACK), timedelta(milliseconds=1)
    before, after = (earliest_pack_key(options, stream, began + by) for by in (timedelta(0), later))
    assert before < key < after
    assert key.startswith(before)
    first = earliest_pack_key(options, stream, datetime.min.replace(tzinfo=UTC))
    assert first == "dev/packs/orders/1970/01/01/00/000000000000"
