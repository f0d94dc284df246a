"""Where an error was raised: frames that a reader recognises on any machine, bounded, and nothing but code."""

import asyncio
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from event_backbone.place import place_of, type_name

HERE = "tests/unit/test_place.py"
LIBRARY = """
import json

def call(function, depth):
    return function() if depth == 0 else call(function, depth - 1)

def parse(depth):
    return json.loads("{") if depth == 0 else parse(depth - 1)
"""
WRAPPING = """
def fail(depth):
    return {}[depth] if depth == 0 else fail(depth - 1)

def call():
    try:
        fail(9)
    except KeyError as error:
        raise ValueError("secret") from error
"""


def raised_by(function: Callable[[], object]) -> BaseException:
    """Return what a function raises."""
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - any error is what the tests want
        return error
    raise AssertionError("it raised nothing")


def functions_of(error: BaseException) -> list[str]:
    """Return the place without line numbers, and without this file's name."""
    return [without_line(line) for line in place_of(error, handlers=[handler.__code__])]


def without_line(line: str) -> str:
    """Return a frame as file and function."""
    return re.sub(r":\d+ in ", " ", line).replace(HERE, "here")


def handler(function: Callable[[], object]) -> object:
    """Where the application begins; what calls it is not of interest."""
    return function()


def test_a_place_is_a_path_from_where_it_is_imported_a_line_and_a_function() -> None:
    """The same on every machine; a package's __init__ has its name too."""
    import json

    first, *_, last = place_of(raised_by(lambda: json.loads("{")))
    line = raised_by.__code__.co_firstlineno + 3
    assert first == f"{HERE}:{line} in raised_by"
    assert last.startswith("json/decoder.py:")
    assert last.endswith(" in raw_decode")
    assert any(each.startswith("json/__init__.py:") for each in place_of(raised_by(lambda: json.loads("{"))))


def test_what_calls_a_handler_is_left_out() -> None:
    """Such as interceptors, and everything of this package."""

    def save() -> None:
        raise ValueError("secret")

    assert functions_of(raised_by(lambda: handler(save))) == ["here handler", "here save"]


def test_causes_and_contexts_are_told_with_type_and_place() -> None:
    """As Python's own traceback does, until ``from None``; an error in a circle is told once."""

    def fail() -> None:
        raise KeyError("secret")

    def chain() -> None:
        try:
            try:
                fail()
            except KeyError:
                raise ValueError("secret")  # noqa: B904 - what it is about
        except ValueError as error:
            raise LookupError("secret") from error

    assert functions_of(raised_by(lambda: handler(chain))) == [
        *("here handler", "here chain", "caused by ValueError", "here chain"),
        *("while handling KeyError", "here chain", "here fail"),
    ]

    def silent() -> None:
        try:
            fail()
        except KeyError:
            raise ValueError("secret") from None

    assert functions_of(raised_by(lambda: handler(silent))) == ["here handler", "here silent"]
    circle = ValueError()
    circle.__cause__ = LookupError()
    circle.__cause__.__cause__ = circle
    assert place_of(circle) == ("caused by LookupError",)


def test_each_error_of_a_group_is_told() -> None:
    """With its own place; of very many, the first ones and how many more there are."""

    async def fail(error: Exception) -> None:
        raise error

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail(ValueError("secret")))
            tasks.create_task(fail(OSError("secret")))

    lines = functions_of(raised_by(lambda: handler(lambda: asyncio.run(both()))))
    assert [line for line in lines if "here" not in line] == [
        "asyncio/taskgroups.py __aexit__",
        "1 of 2: ValueError",
        "2 of 2: OSError",
    ]
    assert lines.count("here fail") == 2
    many = ExceptionGroup("secret", [KeyError(str(number)) for number in range(100)])
    assert place_of(many)[-2:] == ("5 of 100: KeyError", "(left out: 95 of KeyError)")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], ModuleType]:
    """Install a library of one module, and import it."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def module(name: str, text: str) -> ModuleType:
        (folder / f"{name}.py").write_text(text)
        return importlib.import_module(name)

    return module


def test_the_applications_innermost_frame_is_there_however_deep_a_library_goes(
    install: Callable[[str, str], ModuleType],
) -> None:
    """At most five frames up to it and three below it; the others are counted. The application may be installed too."""
    depth = install("depth", LIBRARY)

    def recurse(deep: int) -> object:
        return depth.call(lambda: depth.parse(50), 50) if deep == 0 else recurse(deep - 1)

    error = raised_by(lambda: handler(lambda: recurse(50)))
    lines = functions_of(error)
    assert lines[0] == "(left out: 53 of tests, 47 of depth)"
    assert lines[1:6] == [*["depth.py call"] * 4, "here <lambda>"]
    assert lines[6:] == [
        "(left out: 51 of depth)",
        *("json/__init__.py loads", "json/decoder.py decode", "json/decoder.py raw_decode"),
    ]
    installed = raised_by(lambda: depth.call(lambda: depth.parse(0), 0))
    assert without_line(place_of(installed, handlers=[depth.call.__code__])[0]) == "depth.py call"


def test_a_librarys_own_cause_is_no_longer_than_its_part_of_the_error(
    install: Callable[[str, str], ModuleType],
) -> None:
    """What a library has caught within itself is three frames: none of them is the application's."""
    wrapping = install("wrapping", WRAPPING)
    assert functions_of(raised_by(lambda: handler(wrapping.call))) == [
        *("here handler", "wrapping.py call", "caused by KeyError"),
        *("(left out: 8 of wrapping)", "wrapping.py fail", "wrapping.py fail", "wrapping.py fail"),
    ]


def test_a_place_is_bounded_and_printable() -> None:
    """Generated code may have any name; a recursion any depth; a chain any length."""

    def recurse() -> None:
        recurse()

    assert len(place_of(raised_by(recurse))) == 6
    name = "é" * 500
    code = f"def {name}(deep):\n    {name}(deep - 1) if deep else 1 / 0"
    functions: dict[str, Callable[[int], object]] = {}
    exec(compile(code, "/var/me\n/" + "x" * 500, "exec"), functions)  # noqa: S102 - code with a long name
    error = raised_by(lambda: functions[name](9))
    for _ in range(50):
        error.__context__ = raised_by(lambda: functions[name](9))
    lines = place_of(error)
    assert sum(len(line.encode()) + 1 for line in lines) < 2048 + 40
    assert all(line.isprintable() and "/var" not in line for line in lines)
    assert type_name(raised_by(recurse)) == "RecursionError"
    assert type_name(asyncio.CancelledError()) == "asyncio.exceptions.CancelledError"


def test_no_path_of_this_machine_is_shown() -> None:
    """Not even for a script that was started by its path, or code that no module has."""
    code = compile("1 / 0", str(Path(sys.prefix) / "generated.py"), "exec")
    error = raised_by(lambda: exec(code, {"__name__": "__main__"}))  # noqa: S102 - code without a module
    assert place_of(error)[-1] == "generated.py:1 in <module>"
