"""Ends a process that has done its work, even if something in it hangs."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import NoReturn

from event_backbone import telemetry

_GRACE_SECONDS = 1.0
_SEND_WITHIN_SECONDS = 1.0
_EXIT_CODE = 1

_log = logging.getLogger(__name__)
_owned = threading.Event()


def own_process() -> None:
    """Note that the process ends with its command: it was started for nothing else."""
    _owned.set()


def start_exit_watchdog() -> None:
    """Let an owned process end: normally if it can, otherwise within 2 s and with exit code 1.

    A handler that swallows its cancellation keeps the event loop from closing, and a hanging thread of
    ``asyncio.to_thread`` keeps the interpreter from exiting. Traces and metrics still to be sent are sent first.
    """
    if _owned.is_set():
        exiting = threading.Event()
        # Called first at exit, once all threads have ended: the other exit handlers may take their time.
        atexit.register(exiting.set)
        threading.Thread(target=_exit_unless, args=(exiting,), name="event-backbone-exit", daemon=True).start()


def _exit_unless(exiting: threading.Event) -> None:
    if exiting.wait(_GRACE_SECONDS):
        return
    end_process("A handler, or a thread it started, is still running after the stop; the process ends without it.")


def end_process(why: str) -> NoReturn:
    """Log why, send traces and metrics for up to a second, and end the process with exit code 1, whatever runs."""
    _log.error(why)
    sending = threading.Thread(target=telemetry.shut_down, daemon=True)
    sending.start()
    sending.join(_SEND_WITHIN_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(_EXIT_CODE)
