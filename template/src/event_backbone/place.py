"""Where an error was raised: its frames as text, without messages, values or paths of this machine (promise 9).

A message or a local variable may quote a payload; file names, line numbers and names of functions cannot.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import PurePath
from types import CodeType, FrameType
from typing import NamedTuple, cast

_OWN_FRAMES = 5
_LIBRARY_FRAMES = 3
_ERRORS = 6
_NAMES = 3
_MOST_BYTES = 2048
_MOST_FILE_BYTES = 120
_MOST_NAME_BYTES = 60
_CALLERS = frozenset({"event_backbone", "asyncio"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")


class _Source(NamedTuple):
    """Where a function is defined. Code that is ``installed`` is a library's or Python's own."""

    file: str
    function: str
    package: str
    installed: bool


class _Frame(NamedTuple):
    code: CodeType
    line: int
    source: _Source

    def __str__(self) -> str:
        return f"{self.source.file}:{self.line} in {self.source.function}"


def type_name(error: BaseException) -> str:
    """Return the name of an error's type: qualified, unless it is a builtin."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return _shortened(name, _MOST_FILE_BYTES)


def place_of(error: BaseException, *, handlers: Collection[CodeType] = ()) -> tuple[str, ...]:
    """Return where an error was raised, for logs: lines without messages and values, at most 2 KiB together.

    Most lines are frames, the most recent call last, such as ``shop/orders.py:17 in save``; files are relative to where
    they are imported from. Others begin what follows: ``caused by sqlite3.IntegrityError`` (``raise ... from``),
    ``while handling KeyError``, or ``1 of 2: ValueError`` for the errors of a group.

    Of each error there are up to five frames that end with the innermost one of the application, and up to three
    of libraries below it. What is left out in between is counted, by package. Frames of this package and of asyncio
    that only call the application are not shown at all, nor is anything above a handler.

    Args:
        error: an error that was raised.
        handlers: the code of handlers, to recognise where the application begins. Otherwise it begins with the first
            frame outside this package.
    """
    application = _application(error, handlers)
    lines = list(_frames_of(error, handlers, application))
    following = list(_following(error, {id(error)}))
    for label, each in following[: _ERRORS - 1]:
        lines += [f"{label}{type_name(each)}", *_frames_of(each, handlers, application)]
    if more := following[_ERRORS - 1 :]:
        lines.append(_left_out(type_name(each) for _, each in more))
    return _bounded(lines)


def _following(error: BaseException, seen: set[int]) -> Iterator[tuple[str, BaseException]]:
    """Yield each error that belongs to this one, with what it is to it."""
    if isinstance(error, BaseExceptionGroup):
        errors = list(_leaves(cast("BaseExceptionGroup[BaseException]", error)))
        for number, each in enumerate(errors, 1):
            if id(each) not in seen:
                seen.add(id(each))
                yield f"{number} of {len(errors)}: ", each
                yield from _following(each, seen)
    cause, label = error.__cause__, "caused by "
    if cause is None and not error.__suppress_context__:
        cause, label = error.__context__, "while handling "
    if cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield label, cause
        yield from _following(cause, seen)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(cast("BaseExceptionGroup[BaseException]", each))
        else:
            yield each


def _application(error: BaseException, handlers: Collection[CodeType]) -> str | None:
    """Return the application's package, which may be installed like a library; None if that is not known."""
    outside = [frame for frame in _all_frames(error) if frame.source.package not in _CALLERS]
    begin = next((frame for frame in outside if frame.code in handlers), outside[0] if outside else None)
    return None if begin is None else begin.source.package


def _frames_of(error: BaseException, handlers: Collection[CodeType], application: str | None) -> Iterator[str]:
    """Yield the frames of one error, and what is left out between them."""
    frames = _all_frames(error)
    outside = [place for place, frame in enumerate(frames) if frame.source.package not in _CALLERS]
    if not outside:
        # Nothing but this package and asyncio: raised here, unless it is a group of what handlers raised.
        yield from (str(frame) for frame in frames[-1:] if not isinstance(error, BaseExceptionGroup))
        return
    begin = next((place for place in outside if frames[place].code in handlers), outside[0])
    shown = [frames[place] for place in outside if place >= begin] + frames[outside[-1] + 1 :]
    package = application or shown[0].source.package
    own = [place for place, frame in enumerate(shown) if not frame.source.installed or frame.source.package == package]
    below = max(own, default=-1) + 1
    yield from _last(shown[:below], _OWN_FRAMES)
    yield from _last(shown[below:], _LIBRARY_FRAMES)


def _all_frames(error: BaseException) -> list[_Frame]:
    return [_frame(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]


def _last(frames: list[_Frame], most: int) -> Iterator[str]:
    if before := frames[:-most]:
        yield _left_out(frame.source.package for frame in before)
    yield from map(str, frames[-most:])


def _left_out(names: Iterable[str]) -> str:
    counts = Counter(names).most_common(_NAMES)
    return f"(left out: {', '.join(f'{number} of {name}' for name, number in counts)})"


def _frame(frame: FrameType, line: int) -> _Frame:
    code, named = frame.f_code, frame.f_globals
    module = str(named.get("__name__", ""))
    if module == "__main__":
        module = str(getattr(named.get("__spec__"), "name", module))
    # Generated code belongs to the module that it was generated for.
    generated = code.co_filename.startswith("<")
    path = str(named.get("__file__", _STANDARD_LIBRARY)) if generated else code.co_filename
    return _Frame(code, line, _source(code, module, path))


@lru_cache(maxsize=4096)
def _source(code: CodeType, module: str, path: str) -> _Source:
    file = PurePath(code.co_filename)
    # The part of a path below where its module was imported from is as long as the module's name.
    below = file.parts[-len(module.split(".")) - (file.stem == "__init__") :]
    is_module = ".".join(below).removesuffix(file.suffix).removesuffix(".__init__") == module
    return _Source(
        _shortened("/".join(below) if is_module else file.name, _MOST_FILE_BYTES),
        _shortened(code.co_name, _MOST_NAME_BYTES),
        module.partition(".")[0] or file.name,
        bool(_INSTALLED & set(PurePath(path).parts)) or PurePath(path).is_relative_to(_STANDARD_LIBRARY),
    )


def _shortened(text: str, most: int) -> str:
    """Return printable text of at most this many bytes; its end says more than its beginning."""
    text = "".join(each if each.isprintable() else "?" for each in text)
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= most else f"...{encoded[3 - most :].decode(errors='ignore')}"


def _bounded(lines: list[str]) -> tuple[str, ...]:
    """Return the lines that fit, and how many do not."""
    kept, size = list[str](), 0
    for line in lines:
        size += len(line.encode()) + 1
        if size > _MOST_BYTES:
            return (*kept, f"(left out: {len(lines) - len(kept)} lines)")
        kept.append(line)
    return tuple(kept)
