"""Where a pack is in the bucket."""

from event_backbone.model import StreamName
from event_backbone.storage import S3Options
from event_backbone.storage.s3.keys import pack_key
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
