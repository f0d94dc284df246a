"""Every error of a command as one sentence on the standard error, and an exit code."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import NoReturn, TypeVar, cast

import typer
from pydantic import ValidationError
from typer.exceptions import TyperException

from event_backbone.cli.exit_watchdog import own_process
from event_backbone.errors import BackboneError

T = TypeVar("T")

FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 130


def run(cli: typer.Typer) -> NoReturn:
    """Run the command line and leave the process.

    The exit code is 0, 1 when the command failed, 2 for a usage error, and 130 after Ctrl-C. What is wrong with
    settings, servers or arguments is one sentence without a traceback; only a defect of the program shows one.
    """
    own_process()
    _prepare_output()
    try:
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


def user_message(error: BaseException) -> str | None:
    """Return the sentence that the user reads about an error; None for a defect of the program."""
    return next(iter(user_messages(error)), None)


def user_messages(error: BaseException) -> list[str]:
    """Return all that the user should read about an error, such as a sentence for each setting that is not valid."""
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return [message for each in inner for message in user_messages(each)]
    if isinstance(error, BackboneError):
        return [str(error)]
    if isinstance(error, ValidationError):
        # pydantic's own text would repeat the value, which may be a secret.
        found = error.errors(include_url=False, include_input=False, include_context=False)
        named = [(".".join(map(str, each["loc"])).upper() or error.title, each["msg"].rstrip(".")) for each in found]
        return [f"The setting {name} is not valid: {message}." for name, message in named]
    if type(error).__module__.startswith("pydantic_settings"):
        return [f"The settings cannot be read: {error}."]
    return []
