"""What producers and workers of a chaos round agree on."""

from datetime import timedelta

from event_backbone.storage import S3Options

ENVIRONMENT = "test"
LEASE = timedelta(seconds=1)
DRAIN = timedelta(seconds=3)


def s3_options() -> S3Options:
    """Return short times, so that a request without an answer is tried again within the round."""
    return S3Options(request_timeout=timedelta(seconds=0.5), deadline=timedelta(seconds=2))
