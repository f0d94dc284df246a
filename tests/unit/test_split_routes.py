"""Where a split keeps each argument, and which names and types it refuses once the contract is known."""

from collections.abc import Mapping
from datetime import datetime

import pytest

from event_backbone import Consumer
from event_backbone.contract import Contract, event
from event_backbone.errors import ConfigurationError
from event_backbone.storage import CachedStorage, MemoryStorage, Part, RedisHashStorage, SplitStorage, Storage
from event_backbone.testing import memory_backbone
from tests.conformance.storage_suite import StorageCase
from tests.support.records import record_of

PERSONAL = MemoryStorage("personal")


class Invoices(Contract):
    """What happens to an invoice."""

    @event
    def invoice_sent(
        self, number: int, email: str | None, vat_number: str = "", sent_at: datetime | None = None
    ) -> None:
        """An invoice is on its way."""

    @event
    def invoice_paid(self, number: int, account: str) -> None:
        """An invoice was paid."""


class Addresses(Contract):
    """A contract beside that of invoices, which the process knows too."""

    @event
    def moved(self, customer_id: int, street: str | None) -> None:
        """A customer has moved."""


@pytest.mark.parametrize(
    ("by_argument", "by_event", "place"),
    [
        (("email", "packing.email"), ("packing",), "b"),
        (("email",), ("packing",), "a"),
        (("note.email", "phone"), ("packing",), "c"),
        (("note.email",), ("note",), "rest"),
    ],
    ids=["event and argument", "argument", "event", "default"],
)
async def test_the_most_specific_name_decides(
    by_argument: tuple[str, ...], by_event: tuple[str, ...], place: str
) -> None:
    """Event and argument, else the argument, else the event, else the default; each part is saved once."""
    places: Mapping[str, Storage] = {name: MemoryStorage(name) for name in ("rest", "a", "b", "c")}
    storage = SplitStorage(
        places["rest"],
        dict(zip(by_argument, (places["a"], places["b"]), strict=False)),
        dict.fromkeys(by_event, places["c"]),
    )
    case = StorageCase(storage)
    saved = await storage.save(case.scope(), record_of({"email": b'"a"'}))
    assert [reference.storage for reference in saved.references] == [place]


REFUSED: dict[str, tuple[Mapping[str, Storage | Part], Mapping[str, Storage | Part], str]] = {
    "an argument that no event has": (
        {"vat_numbr": PERSONAL},
        {},
        "SplitStorage(by_argument=...) names 'vat_numbr', an argument that no event has; did you mean 'vat_number'?",
    ),
    "an event that no contract has": (
        {},
        {"invoice_snt": PERSONAL},
        "SplitStorage(by_event=...) names 'invoice_snt', an event that no contract has; did you mean 'invoice_sent'?",
    ),
    "an argument of an event that no contract has": (
        {"invoice_snt.email": PERSONAL},
        {},
        (
            "SplitStorage(by_argument=...) names 'invoice_snt.email', but no contract has an event 'invoice_snt';"
            " did you mean 'invoice_sent.email'?"
        ),
    ),
    "an argument that the event lacks": (
        {"invoice_paid.emial": PERSONAL},
        {},
        "SplitStorage(by_argument=...) names 'invoice_paid.emial', but event 'invoice_paid' has no argument 'emial'.",
    ),
    "an argument that cannot be missing": (
        {"account": Part("personal", optional=True)},
        {},
        (
            "Argument 'account' of event 'invoice_paid' is kept apart, in storage 'personal', so it can be missing:"
            " write `account: str | None`, or give it a default."
        ),
    ),
    "an argument that cannot be missing, apart from its event's storage": (
        {"invoice_sent.number": PERSONAL},
        {"invoice_sent": MemoryStorage("invoices")},
        (
            "Argument 'number' of event 'invoice_sent' is kept apart, in storage 'personal', so it can be missing:"
            " write `number: int | None`, or give it a default."
        ),
    ),
}


@pytest.mark.parametrize("problem", REFUSED)
async def test_what_does_not_fit_the_contract_is_refused_as_soon_as_it_is_known(problem: str) -> None:
    """By the first producer or subscription, in one sentence that says what would be right."""
    by_argument, by_event, sentence = REFUSED[problem]
    storage = SplitStorage(MemoryStorage(), by_argument, by_event)
    async with memory_backbone(storage=storage) as backbone:
        with pytest.raises(ConfigurationError) as raised:
            backbone.producer(Invoices, uri="invoices")
        assert str(raised.value) == sentence
        with pytest.raises(ConfigurationError) as raised:
            backbone.subscribe(Consumer(Invoices), uri="invoices", group="g")
    assert str(raised.value) == sentence


async def test_a_split_may_serve_several_contracts_and_keep_whole_events_apart() -> None:
    """Names of other contracts of the process are known; an event that is in one storage is never partial."""
    storage = SplitStorage(
        MemoryStorage(),
        {"email": PERSONAL, "street": PERSONAL, "moved.street": PERSONAL, "vat_number": PERSONAL},
        {"invoice_paid": PERSONAL},
    )
    async with memory_backbone(storage=storage) as backbone:
        for contract in (Invoices, Addresses):
            backbone.producer(contract, uri="shop")


def test_two_storages_of_one_name_are_refused() -> None:
    """References could not distinguish them, and they would share a hash; caches and mere names count too."""
    cached = CachedStorage(MemoryStorage("s3"), RedisHashStorage())
    others: list[Storage | Part] = [
        RedisHashStorage(),
        CachedStorage(MemoryStorage("other"), RedisHashStorage()),
        Part("redis-hash", optional=True),
    ]
    for other in others:
        with pytest.raises(ConfigurationError, match="are named 'redis-hash'"):
            SplitStorage(cached, {"email": other})
    with pytest.raises(ConfigurationError, match="must be 1 to 32"):
        Part("Personal data")
    with pytest.raises(ConfigurationError, match="must be a single storage"):
        Part(SplitStorage(MemoryStorage(), {"email": PERSONAL}), optional=True)
