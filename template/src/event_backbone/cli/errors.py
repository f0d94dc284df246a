"""Every error of a command as one sentence on the standard error, and an exit code."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TypeVar

import typer
from typer.exceptions import TyperException

from event_backbone.cli.exit_watchdog import own_process
from event_backbone.errors import ContractError
from event_backbone.place import place_of
from event_backbone.user_messages import user_message

T = TypeVar("T")

FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 130


def run(cli: typer.Typer | str) -> NoReturn:
    """Run the command line and leave the process.

    ``cli`` may say where it is, as ``module:name``. Then a contract or a handler that cannot work, which its import
    finds, is a sentence too.

    The exit code is 0, 1 when the command failed, 2 for a usage error, and 130 after Ctrl-C. What is wrong with
    settings, servers or arguments is one sentence without a traceback; only a defect of the program shows one.
    """
    own_process()
    _prepare_output()
    try:
        if isinstance(cli, str):
            cli = _import(cli)
        # Not standalone, so that a usage error, too, is one sentence and not a box.
        sys.exit(cli(standalone_mode=False))
    except TyperException as error:
        fail(_with_hint(error.format_message()), error.exit_code)
    except typer.Abort:
        fail("Stopped.", INTERRUPTED)
    except BrokenPipeError:
        discard_output()
        sys.exit(FAILED)
    except KeyboardInterrupt:
        fail("Stopped.", INTERRUPTED)
    except Exception as error:
        if (message := user_message(error)) is None:
            raise
        fail(message, FAILED)


def _import(name: str) -> typer.Typer:
    module, _, attribute = name.partition(":")
    try:
        found: typer.Typer = getattr(import_module(module), attribute)
    except ContractError as error:
        where = [frame.removesuffix(" in <module>") for frame in place_of(error) if frame.endswith(" in <module>")]
        fail(f"{error} See {where[-1]}." if where else str(error))
    return found


def _prepare_output() -> None:
    """Let a command write although its standard output is closed, or cannot encode a character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Write nothing more to the standard output, also when Python flushes it at exit: nobody takes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_async(command: Coroutine[object, object, T]) -> T:
    """Run a command's coroutine; Ctrl-C, or another cancellation from outside, leaves with exit code 130."""
    try:
        return asyncio.run(command)
    except (KeyboardInterrupt, asyncio.CancelledError):
        fail("Stopped.", INTERRUPTED)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Write the message to the standard error and leave the command with this exit code."""
    if message:
        sys.stderr.write(f"{message}\n")
    raise SystemExit(code)


def _with_hint(message: str) -> str:
    """Complete Typer's text of a usage error; it is empty where Typer has shown the help instead."""
    end = "" if message.endswith((".", "?")) else "."
    return f"{message}{end} See --help." if message else ""
