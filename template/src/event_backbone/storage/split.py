"""A payload split over storages by event and argument, so that each part can be kept and erased by its own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from event_backbone.contract import Contract
from event_backbone.model import HashWrite, Payload, PayloadReference, SavedPayload
from event_backbone.storage.base import HashPlace, OnPayloads, RecordLog, Storage, StorageScope, WritePlan
from event_backbone.storage.gather import gather_all
from event_backbone.storage.loading import load_references, storage_missing
from event_backbone.storage.parts import Part, StorageNotGiven
from event_backbone.storage.routes import Routes
from event_backbone.wire import Record

_NOTHING: Mapping[str, Storage | Part] = MappingProxyType({})


class SplitStorage:
    """Keeps each argument in the storage that is named for it, and all others in ``default``.

    An event has a reference to each storage that holds a part of it, and loading merges the parts. An event without
    arguments is kept in one storage. If a part is erased, gone, or optional and not given to this program while another
    is there, the payload is *partial*: handlers get None or the default for the arguments that are missing.

    A name that no event has, of any contract of the process, is refused as soon as a producer or a subscription is
    made; so is an argument that is kept apart from the rest of its event, and whose type admits no None and that has
    no default. Several programs may share one split if they import each other's contracts.
    """

    def __init__(
        self,
        default: Storage,
        by_argument: Mapping[str, Storage | Part] = _NOTHING,
        by_event: Mapping[str, Storage | Part] = _NOTHING,
    ) -> None:
        """Choose a storage for each argument: by event and argument, else by argument, else by event, else ``default``.

        Args:
            default: where everything else goes.
            by_argument: the storage of an argument, of all events (``"email"``) or of one (``"order_placed.email"``).
            by_event: the storage of all other arguments of an event, by the event's name on the wire.

        Raises:
            ConfigurationError: two of the storages, or their caches, have the same name, or one of them puts payloads
                into stream entries.
        """
        self._routes = Routes(default, by_argument, by_event)
        self._readable = {name: each for part in self.parts for name, each in part.readable().items()}

    @property
    def name(self) -> str:
        """The name of the default storage; references name the storage of their part."""
        return self._routes.default.name

    @property
    def parts(self) -> Sequence[Storage]:
        """Every storage once, ``default`` first."""
        return self._routes.storages

    @property
    def archive(self) -> bool | None:
        """Return None: each part says so itself."""

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Return None: the parts are saved first, wherever they go."""

    def record_log(self, scope: StorageScope) -> RecordLog | None:
        """Return None: each part is asked by itself (``readable``)."""

    def hash_beside_stream(
        self, scope: StorageScope, reference: PayloadReference, payload: Payload | None
    ) -> HashWrite | None:
        """Return None: the parts are asked."""

    def hash_places(self) -> Sequence[HashPlace]:
        """Return nothing: the parts are asked."""
        return ()

    def check_contract(self, contract: type[Contract]) -> None:
        """Raise ConfigurationError for a name that no event has, or an argument that cannot be missing."""
        self._routes.check(contract)
        for part in self.parts:
            part.check_contract(contract)

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Save the parts at the same time. Raises the first error of any part; the other parts may be saved."""
        pieces = self._split(record)
        for part, _ in pieces:
            if isinstance(part, StorageNotGiven):
                return await part.save(scope, record)  # refuses, before anything is saved
        if len(pieces) == 1:
            return await pieces[0][0].save(scope, record)
        parts = tuple(part.name for part, _ in pieces)
        saved = await gather_all(
            part.save(scope, record._replace(payload=piece, part=part.name, parts=parts)) for part, piece in pieces
        )
        return SavedPayload(
            tuple(reference for each in saved for reference in each.references),
            tuple(write for each in saved for write in each.writes),
        )

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Load the part that each reference leads to, unmerged, from all storages at the same time."""
        await load_references(scope, self._readable, references, on_payloads)

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Erase the parts that the references lead to; raise StorageMissing if one is in a storage that is not here."""
        await gather_all(storage.erase(scope, group) for storage, group in self._grouped(references))

    async def remove(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Do nothing: the parts are asked."""

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return where the reference's part is kept."""
        return self._readable.get(reference.storage, self._routes.default).location(scope, reference)

    def readable(self) -> Mapping[str, Storage]:
        """Return the parts under their names."""
        return self._readable

    async def check(self, scope: StorageScope) -> None:
        """Check every part."""
        for part in self.parts:
            await part.check(scope)

    async def close(self) -> None:
        """Close every part."""
        for part in self.parts:
            await part.close()

    def _split(self, record: Record) -> list[tuple[Storage, dict[str, bytes]]]:
        event = record.metadata.event
        pieces: dict[int, dict[str, bytes]] = {}
        for name, value in record.payload.items():
            pieces.setdefault(id(self._routes.of_argument(event, name)), {})[name] = value
        found = [(part, pieces[id(part)]) for part in self.parts if id(part) in pieces]
        return found or [(self._routes.of_event(event), {})]

    def _grouped(self, references: Sequence[PayloadReference]) -> list[tuple[Storage, list[PayloadReference]]]:
        groups: dict[str, list[PayloadReference]] = {}
        for reference in references:
            groups.setdefault(reference.storage, []).append(reference)
        return [(self._named(name), group) for name, group in groups.items()]

    def _named(self, name: str) -> Storage:
        storage = self._readable.get(name)
        if storage is None:
            raise storage_missing(name)
        return storage
