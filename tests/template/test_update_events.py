"""The answer ``events`` adds, removes and moves events, around what the owner wrote for their neighbours."""

from pathlib import Path

import pytest

from tests.template.owner import make_ordinary_edits
from tests.template.rendering import commit
from tests.template.updating import (
    EVENTS,
    NEWEST_START,
    NEXT,
    SHOP,
    History,
    after,
    conflicts,
    edit,
    files_of,
    update,
)

FIRST, MIDDLE, LAST = "OrderPlaced(email: str, time: datetime)", "Packing(id: int)", "Delivered(at: datetime)"
ADDED = {
    "before the first": f"Lost(), Found, {EVENTS}",
    "after the first": f"{FIRST}, Lost(), {MIDDLE}, {LAST}",
    "before the last": f"{FIRST}, {MIDDLE}, Lost(), Found, {LAST}",
    "after the last": f"{EVENTS}, Lost(), Found",
    "everywhere": f"Early, {FIRST}, Lost(), {MIDDLE}, Found, {LAST}, Late(at: date)",
    "in place of one": f"{FIRST}, Lost(), {LAST}",
}


def _edited(history: History, start: str, folder: Path) -> Path:
    project = history.project(folder, start, SHOP)
    make_ordinary_edits(project)
    commit(project, "Ours")
    return project


@NEWEST_START
@pytest.mark.parametrize("events", ADDED.values(), ids=ADDED)
def test_events_are_added_around_edited_ones(thin_history: History, start: str, events: str, tmp_path: Path) -> None:
    """The first and the last event were edited, and there is code below the last line: all of it stays."""
    project = _edited(thin_history, start, tmp_path / "project")

    update(project, after(start), events=events)

    assert not conflicts(project)
    wanted = thin_history.project(tmp_path / "wanted", after(start), SHOP | {"events": events})
    make_ordinary_edits(wanted)
    assert files_of(project) == files_of(wanted)


@NEWEST_START
@pytest.mark.parametrize("events", [f"{LAST}, {MIDDLE}, {FIRST}", f"{MIDDLE}, {FIRST}", LAST])
def test_untouched_events_go_and_change_places(thin_history: History, start: str, events: str, tmp_path: Path) -> None:
    """Nothing of them is left in any file."""
    project = thin_history.project(tmp_path / "project", start, SHOP)

    update(project, after(start), events=events)

    assert not conflicts(project)
    assert files_of(project) == files_of(thin_history.fresh(after(start), SHOP | {"events": events}))


@NEWEST_START
@pytest.mark.parametrize(
    ("events", "lost"),
    [(f"{MIDDLE}, {LAST}", "order_placed"), (f"{FIRST}, {MIDDLE}", "delivered"), (MIDDLE, "delivered")],
)
def test_an_edited_event_never_goes_silently(
    thin_history: History, start: str, events: str, lost: str, tmp_path: Path
) -> None:
    """Removed from the answer, it becomes a conflict in contract and handlers, and every word of it is still there."""
    project = _edited(thin_history, start, tmp_path / "project")
    source = project / "src" / "shop"
    before = {name: _words(source / name) for name in ("contract.py", "handlers.py")}

    update(project, NEXT, events=events)

    assert conflicts(project) == {"src/shop/contract.py", "src/shop/handlers.py"}
    for name, words in before.items():
        missing = words - _words(source / name)
        assert not {line for line in missing if "packing" not in line.lower() and "The " not in line}, name
    assert f"async def {lost}(" in (source / "handlers.py").read_text(encoding="utf-8")


@NEWEST_START
def test_edited_events_that_change_places_are_kept(thin_history: History, start: str, tmp_path: Path) -> None:
    """A block that was edited and moves to the other end may be a conflict; what was written in it is not lost."""
    project = _edited(thin_history, start, tmp_path / "project")
    handlers = project / "src" / "shop" / "handlers.py"
    before = _words(handlers)
    then, now = (_words(thin_history.fresh(each, SHOP) / "src/shop/handlers.py") for each in (start, after(start)))

    update(project, after(start), events=f"{LAST}, {MIDDLE}, {FIRST}")

    assert before - (then - now) <= _words(handlers)
    assert conflicts(project) <= {"src/shop/contract.py", "src/shop/handlers.py"}


@NEWEST_START
def test_new_arguments_reach_an_untouched_event(thin_history: History, start: str, tmp_path: Path) -> None:
    """In an edited one they are a conflict: the template cannot know which signature is meant."""
    project = thin_history.project(tmp_path / "project", start, SHOP)
    handlers = project / "src" / "shop" / "handlers.py"
    edit(
        handlers,
        (
            "delivered(ctx: Context[Services], at: datetime)",
            "delivered(ctx: Context[Services], at: datetime, sign: bool)",
        ),
    )
    commit(project, "Ours")

    update(project, after(start), events=f"{FIRST}, Packing(id: int, weight: float), Delivered(at: date)")

    text = handlers.read_text(encoding="utf-8")
    assert "async def packing(ctx: Context[Services], id: int, weight: float) -> None:" in text
    assert conflicts(project) == {"src/shop/handlers.py"}
    assert "at: datetime, sign: bool" in text
    assert "at: date)" in text


def _words(file: Path) -> set[str]:
    return {line.strip() for line in file.read_text(encoding="utf-8").splitlines()}
