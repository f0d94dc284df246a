"""Questions on the terminal."""

from __future__ import annotations

import signal

import typer


def confirmed(question: str) -> bool:
    """Ask, on the standard error, and return whether the answer is yes.

    Ctrl-C ends the command at once: within a coroutine the event loop would wait for an answer before it ends.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return typer.confirm(question, err=True)
    finally:
        signal.signal(signal.SIGINT, before)
