"""Rate cards over real databases: recorded at start, added, changed and withdrawn before they begin, never after."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.catalog.rate_cards import rate_card_text, read_rate_card
from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.catalog import Catalog, RateCard, Share, Unallocated
from aiplatform_hub.domain.off_peak import OffPeak, Window
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.errors import ConfigurationError, ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.rate_cards import LOOK_SECONDS, RateCards
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.database import Database, DatabaseBusyError
from aiplatform_hub.storage.rate_cards import RateCardStore
from aiplatform_hub.storage.usage import UsageStore

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
NIGHTS = OffPeak("Europe/Berlin", Decimal(30), (Window(frozenset({1, 2, 3, 4, 5}), time(20), time(6)),))
NEW = RateCard(
    "2027-01",
    datetime(2027, 1, 1, tzinfo=UTC),
    "EUR",
    {"h100": Decimal("3.10"), "*": Decimal(1)},
    Decimal("0.05"),
    cpu_core_hour=Decimal("0.01"),
    memory_gib_hour=Decimal("0.002"),
    storage_gib_month=Decimal("0.02"),
    idle_gpu_hour={"h100": Decimal(4)},
    off_peak=NIGHTS,
    tier_discount_percent={"default": Decimal("12.5")},
    project_discount_percent={"personal": Decimal(10)},
    unallocated=Unallocated(Share.EVENLY, {"*": Decimal("0.25")}, ("personal",)),
)
TEXT = rate_card_text(NEW)


class Place:
    """The cards of one database, with files, clock and cache that tests control."""

    def __init__(self, database: Database) -> None:
        self.database, self.now, self.seconds = database, NOW, 0.0
        self.catalog: Catalog = load_catalog()
        self.trail = AuditTrail(database=database, audit=AuditStore(), clock=lambda: self.now)
        self.cards = self.another_process()

    def another_process(self) -> RateCards:
        return RateCards(
            database=self.database,
            rate_cards=RateCardStore(),
            catalog=lambda: self.catalog,
            audit_trail=self.trail,
            clock=lambda: self.now,
            monotonic=lambda: self.seconds,
        )

    def versions(self) -> list[str]:
        return [card.version for card in self.another_process().current()]

    def use(self) -> None:
        """Meter something, so that bills depend on the cards."""
        request = LaunchRequest("jupyterlab", 0, None, 1, 1, "personal", "c")
        began = NOW - timedelta(days=3)
        allocation = Allocation(uuid4(), 1, "ada", "", None, request, AllocationState.DENIED, (), "rest", "ada", began)
        interval = UsageInterval(uuid4(), allocation.id, 1, "ada", "personal", "c", "jupyterlab", 0, None, 1, 1, began)
        with self.database.write() as connection:
            AllocationStore().insert(connection, allocation)
            UsageStore().open(connection, interval)


@pytest.fixture
def place(database: Database) -> Iterator[Place]:
    place = Place(database)
    place.cards.record_catalogue()
    yield place


def test_document_of_a_card_read_again_is_the_card() -> None:
    assert read_rate_card(TEXT, "2027-01", catalog=load_catalog()) == NEW
    (shipped,) = load_catalog().rate_cards
    assert read_rate_card(rate_card_text(shipped), shipped.version) == shipped


def test_cards_of_the_files_are_recorded_once_whoever_starts(place: Place) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: place.another_process().record_catalogue(), range(4)))
    (row,) = place.cards.recorded()
    assert (row.card, row.recorded_by, row.stands) == (place.catalog.rate_cards[0], None, True)


def test_before_anything_is_recorded_the_files_count(database: Database) -> None:
    place = Place(database)
    assert place.versions() == ["2026-01"]
    place.cards.add(TEXT, version="2027-01", reason="x", by="ada")
    assert place.versions() == ["2026-01", "2027-01"], "a card that is to come never prices what was before"


def test_changed_past_card_stops_the_start_and_changes_nothing(place: Place) -> None:
    place.use()
    (shipped,) = place.catalog.rate_cards
    place.catalog = replace(place.catalog, rate_cards=(replace(shipped, cpu_only_hour=Decimal(9)), NEW))
    with pytest.raises(ConfigurationError, match="The rate card 2026-01 has been in force since"):
        place.cards.record_catalogue()
    assert place.another_process().current() == (shipped,)


def test_admin_adds_changes_and_withdraws_what_is_to_come(place: Place) -> None:
    added = place.cards.add(TEXT, version="2027-01", reason="new prices", by="ada")
    assert (added.card, place.versions()) == (NEW, ["2026-01", "2027-01"])
    dearer = replace(NEW, cpu_only_hour=Decimal(9))
    place.cards.change(rate_card_text(dearer), version="2027-01", reason="dearer", by="bob")
    assert place.another_process().current()[1] == dearer
    place.cards.withdraw("2027-01", reason="a mistake", by="ada")
    assert place.versions() == ["2026-01"]
    assert [(each.card.version, each.recorded_by, each.stands) for each in place.cards.recorded()] == [
        ("2027-01", "bob", False),
        ("2027-01", "ada", False),
        ("2026-01", None, True),
    ], "nothing that was ever recorded is lost"
    acts = [(event.action, event.actor, event.detail["reason"]) for event in place.trail.latest()]
    assert acts == [("withdraw_rate_card", "ada", "a mistake"), ("change_rate_card", "bob", "dearer"), ("add_rate_card", "ada", "new prices")]


def test_what_has_begun_is_neither_changed_nor_withdrawn(place: Place) -> None:
    place.cards.add(TEXT, version="2027-01", reason="new", by="ada")
    place.now = NEW.effective_from - timedelta(minutes=1)
    later = rate_card_text(replace(NEW, effective_from=NEW.effective_from + timedelta(days=9)))
    with pytest.raises(ConflictError, match="prices of the past never change"):
        place.cards.change(later, version="2027-01", reason="x", by="ada")
    with pytest.raises(ConflictError, match="prices of the past never change"):
        place.cards.withdraw("2027-01", reason="x", by="ada")
    with pytest.raises(ConflictError, match=r"rates\.yaml"):
        place.cards.withdraw("2026-01", reason="x", by="ada")
    with pytest.raises(NotFoundError):
        place.cards.withdraw("2099-01", reason="x", by="ada")
    assert place.versions() == ["2026-01", "2027-01"]


WRONG = {
    "document:2: currency: unknown currency EUX": ("EUR", "EUX"),
    "did you mean Europe/Berlin": ("Europe/Berlin", "Europe/Berln"),
    "gpu_hour.h100: -3.10 is negative": ("'3.10'", "'-3.10'"),
    "unknown key gpu_hours": ("gpu_hour", "gpu_hours"),
    "unknown GPU type h10": ("h100", "h10"),
    "effective_from is 2026-11-01": ("2027-01-01", "2026-11-01"),
    "The rate card 2026-01 begins at": ("2027-01-01", "2026-01-01"),
    "document:": ("effective_from", "[effective_from"),
}


def test_wrong_card_is_refused_with_what_and_where_and_nothing_is_stored(place: Place) -> None:
    for says, change in WRONG.items():
        document = TEXT.replace(*change, 1)
        with pytest.raises(InvalidOptionError) as refused:
            place.cards.check(document, version="2027-01")
        with pytest.raises(InvalidOptionError) as not_added:
            place.cards.add(document, version="2027-01", reason="x", by="ada")
        assert says in refused.value.message
        assert not_added.value.message == refused.value.message
        assert all(reason.field for reason in refused.value.reasons)
    for more, says in (({"reason": " "}, "Say why"), ({"version": "a b"}, "The version a b"), ({"version": "2026-01"}, "already")):
        with pytest.raises(InvalidOptionError, match=says):
            place.cards.add(TEXT, **{"version": "2027-01", "reason": "x", "by": "ada", **more})
    assert place.versions() == ["2026-01"]
    assert place.trail.latest() == ()


def test_of_many_who_add_the_same_card_one_does(place: Place) -> None:
    def add(number: int) -> bool:
        try:
            place.another_process().add(TEXT, version=f"v{number}", reason="x", by="ada")
        except DatabaseBusyError:  # on a busy machine: nothing was written, and it may be asked again
            return add(number)
        except (InvalidOptionError, ConflictError):
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(add, range(6))) == 1
    assert len(place.versions()) == 2


def test_process_believes_what_it_knows_for_a_while_and_then_looks(place: Place) -> None:
    other = place.another_process()
    assert len(other.current()) == 1
    place.cards.add(TEXT, version="2027-01", reason="x", by="ada")
    assert len(place.cards.current()) == 2, "its own change counts at once"
    assert len(other.current()) == 1
    place.seconds += LOOK_SECONDS
    assert len(other.current()) == 2
    assert other.current() is other.current()
