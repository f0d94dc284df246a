"""Ends a process that has done its work, also when something in it goes on and on."""

from __future__ import annotations

import logging
import os
import sys
import threading

from event_backbone import telemetry

_GRACE_SECONDS = 1.0
_SEND_WITHIN_SECONDS = 1.0
_LEFT_BEHIND = 1

_log = logging.getLogger(__name__)


def end_soon() -> None:
    """Let the process end within 2 s from now: by itself, as usual, or else with exit code 1.

    A handler that swallows its cancellation keeps the event loop from closing, and a thread of ``asyncio.to_thread``
    that hangs keeps the interpreter from exiting. Traces and metrics that wait to be sent are sent first.
    """
    threading.Thread(target=_end, name="event-backbone-end", daemon=True).start()


def _end() -> None:
    threading.Event().wait(_GRACE_SECONDS)
    _log.error("A handler, or a thread of one, goes on after the stop; the process ends without it.")
    sending = threading.Thread(target=telemetry.shut_down, daemon=True)
    sending.start()
    sending.join(_SEND_WITHIN_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(_LEFT_BEHIND)
