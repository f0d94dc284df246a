"""Ends a process that has done its work, also when something in it goes on and on."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading

from event_backbone import telemetry

_GRACE_SECONDS = 1.0
_SEND_WITHIN_SECONDS = 1.0
_LEFT_BEHIND = 1

_log = logging.getLogger(__name__)
_ours = threading.Event()


def process_is_ours() -> None:
    """Note that the process ends with its command: it was started for nothing else."""
    _ours.set()


def end_soon() -> None:
    """Let a process that is ours end: by itself, as usual, or else within 2 s and with exit code 1.

    A handler that swallows its cancellation keeps the event loop from closing, and a thread of ``asyncio.to_thread``
    that hangs keeps the interpreter from exiting. Traces and metrics that wait to be sent are sent first.
    """
    if _ours.is_set():
        ending = threading.Event()
        # Comes first at exit, when all threads have ended: what else is done there may take its time.
        atexit.register(ending.set)
        threading.Thread(target=_end_unless, args=(ending,), name="event-backbone-end", daemon=True).start()


def _end_unless(ending: threading.Event) -> None:
    if ending.wait(_GRACE_SECONDS):
        return
    _log.error("A handler, or a thread of one, goes on after the stop; the process ends without it.")
    sending = threading.Thread(target=telemetry.shut_down, daemon=True)
    sending.start()
    sending.join(_SEND_WITHIN_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(_LEFT_BEHIND)
