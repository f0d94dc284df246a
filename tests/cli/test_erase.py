"""`erase`: what it removes, and what `show` and `tail` say afterwards."""

from typing import cast

import pytest

from tests.cli.conftest import Shop


def test_erase_says_what_it_has_erased_and_where(redis_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One part, then the whole payload; `show` and `tail` say what is missing."""
    monkeypatch.setenv("SHOP_STORAGE", "split")
    key = redis_shop("produce", "packing", "--json", '{"email": "a@b.c", "tags": ["fragile"]}').output.strip()
    rest, personal = cast("list[str]", redis_shop("show", key, "--json").lines[0]["locations"])
    wrong = redis_shop("erase", key, "--part", "tags", "--yes")
    assert (wrong.code, "its payload is in 'redis-hash' and 'personal'." in wrong.errors) == (1, True)
    erased = redis_shop("erase", key, "--part", "personal", "--yes")
    assert erased.output == f"The part 'personal' of event {key} is erased:\n  {personal}\n"
    (event,) = redis_shop("show", key, "--json").lines
    assert (event["payload"], event["missing_parts"]) == ("partial", {"personal": "erased"})
    assert event["arguments"] == {"email": "a@b.c"}
    assert "personal erased" in redis_shop("show", key).output
    line = f'{key}  packing  {{"email":"a@b.c"}}  (payload partial: personal erased)\n'
    assert redis_shop("tail", "--no-follow").output == line
    whole = redis_shop("erase", key, "--yes")
    assert whole.output == f"The payload of event {key} is erased:\n  {rest}\n  {personal}\n"
    assert redis_shop("tail", "--no-follow").output == f"{key}  packing  (payload erased)\n"
