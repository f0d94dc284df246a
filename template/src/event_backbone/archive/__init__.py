"""The archive: the whole history of streams in S3, so that Redis may be lost.

``Archiver`` copies what is in a stream into segments, each of which follows another; ``History`` reads them in order;
restoring builds a stream from them. ``S3Archive`` says where they are.
"""

from event_backbone.archive.restore_report import RestorePlan, RestoreProgress, RestoreReport
from event_backbone.archive.s3_archive import S3Archive

__all__ = ["RestorePlan", "RestoreProgress", "RestoreReport", "S3Archive"]
