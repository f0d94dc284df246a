"""Where a payload is in the bucket."""

from event_backbone.model import StreamName
from event_backbone.storage import S3Options
from event_backbone.storage.s3.keys import payload_key


def test_an_object_key_is_the_same_in_every_process_and_release() -> None:
    """Readers compute it from the reference; a changed layout would lose every payload."""
    stream = StreamName.of("orders/eu", "dev")
    options = S3Options("events", prefix="all").resolved({})
    assert payload_key(options, stream, "0198a5c2-0000-7000-8000-000000000001") == (
        "all/dev/19/orders/eu/0198a5c2-0000-7000-8000-000000000001.json"
    )
    nowhere = S3Options("events", environment_in="nothing").resolved({})
    assert payload_key(nowhere, stream, "0198a5c2-0000-7000-8000-000000000001").startswith("19/orders/eu/")


def test_keys_of_one_stream_spread() -> None:
    """S3 splits busy prefixes; two hundred and fifty-six of them are enough for a million requests a second."""
    options = S3Options("events").resolved({})
    stream = StreamName.of("orders", "dev")
    assert len({payload_key(options, stream, f"id-{number}").split("/")[1] for number in range(4000)}) == 256
