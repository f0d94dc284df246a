"""Every error of a command as one sentence on the standard error, and an exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import NoReturn, TypeVar, cast

import typer
from pydantic import ValidationError
from typer.exceptions import TyperException

from event_backbone.cli.process_end import process_is_ours
from event_backbone.errors import BackboneError

T = TypeVar("T")

FAILED = 1
CALLED_WRONGLY = 2
INTERRUPTED = 130


def run(cli: typer.Typer) -> NoReturn:
    """Run the command line and leave the process.

    The exit code is 0, 1 when the command failed, 2 when it was called wrongly, and 130 after Ctrl-C. What is wrong
    with settings, servers or arguments is one sentence without a traceback; only a defect of the program shows one.
    """
    process_is_ours()
    try:
        # Not standalone, so that a wrong call ends in one sentence, too, and not in a box.
        sys.exit(cli(standalone_mode=False))
    except TyperException as error:
        fail(_with_hint(error.format_message()), error.exit_code)
    except typer.Abort:
        fail("Stopped.", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has enough of it; nothing may be written when Python flushes at exit, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except KeyboardInterrupt:
        fail("Stopped.", INTERRUPTED)
    except Exception as error:
        if (sentence := sentence_of(error)) is None:
            raise
        fail(sentence, FAILED)


def run_async(command: Coroutine[object, object, T]) -> T:
    """Run a command's coroutine; Ctrl-C, or another cancellation from outside, leaves with exit code 130."""
    try:
        return asyncio.run(command)
    except (KeyboardInterrupt, asyncio.CancelledError):
        fail("Stopped.", INTERRUPTED)


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    """Write the sentence to the standard error and leave the command with this exit code."""
    if sentence:
        sys.stderr.write(f"{sentence}\n")
    raise SystemExit(code)


def _with_hint(message: str) -> str:
    """Complete what Typer says of a wrong call; it says nothing where it has shown the help instead."""
    end = "" if message.endswith((".", "?")) else "."
    return f"{message}{end} --help tells more." if message else ""


def sentence_of(error: BaseException) -> str | None:
    """Return what to tell the user of an error; None for a defect of the program."""
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return next((found for each in inner if (found := sentence_of(each))), None)
    if isinstance(error, BackboneError):
        return str(error)
    if isinstance(error, ValidationError):
        # pydantic's own text would repeat the value, which may be a secret.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(map(str, first["loc"])).upper() or error.title
        return f"The setting {name} is wrong: {first['msg'].rstrip('.')}."
    if type(error).__module__.startswith("pydantic_settings"):
        return f"The settings cannot be read: {error}."
    return None
