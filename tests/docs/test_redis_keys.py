"""The table of Redis keys has all of them, and says what each costs."""

import re

from event_backbone.wire import keys
from tests.docs.test_reference import codes, page, rows, section

KEY = re.compile(r"\{<stream>\}:([a-z]+(?::[a-z]+)*)(?::<[\w ]+>)?")


def test_every_redis_key_is_listed_with_its_cost_and_its_end() -> None:
    """Each that wire/keys.py names, and no other; besides the stream itself."""
    listed = rows(section(page("wire.md"), "Names"))
    stream, *others = [codes(row[0])[0] for row in listed]
    found = [KEY.fullmatch(each) for each in others]
    assert stream == "<stream>"
    assert all(found), others
    purposes = sorted(value for name, value in vars(keys).items() if name.endswith("_KEY"))
    assert sorted(each[1] for each in found if each) == purposes
    assert [row[0] for row in listed if len(row) != 5 or not all(row)] == []
