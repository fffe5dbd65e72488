"""What may become of a rate card: what is to come may change, what has begun never."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.rate_cards import LEAD, RecordedCard, faults_of_new, in_force, plan_of_files

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
OLD = RateCard("old", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"*": Decimal(1)}, Decimal("0.04"))
NEW = replace(OLD, version="new", effective_from=datetime(2027, 1, 1, tzinfo=UTC))


def recorded(card: RateCard, by: str | None = None, **more: datetime) -> RecordedCard:
    return RecordedCard(1, card, NOW - timedelta(days=9), by, "why", **more)


def plan(*files: RateCard, standing: tuple[RecordedCard, ...] = (), is_unused: bool = False):  # type: ignore[no-untyped-def]
    return plan_of_files(files, standing, NOW, is_unused=is_unused)


def test_first_start_records_what_the_files_say() -> None:
    assert plan(OLD, NEW).added == (OLD, NEW)


def test_next_start_records_nothing_again() -> None:
    found = plan(OLD, NEW, standing=(recorded(OLD), recorded(NEW)))
    assert (found.added, found.withdrawn, found.problems) == ((), (), ())


def test_same_prices_written_otherwise_are_the_same_card() -> None:
    assert plan(replace(OLD, cpu_only_hour=Decimal("0.040")), standing=(recorded(OLD),)).added == ()


def test_card_that_has_begun_and_differs_stops_the_start_and_is_named() -> None:
    found = plan(replace(OLD, cpu_only_hour=Decimal(1)), NEW, standing=(recorded(OLD),))
    assert (found.added, found.withdrawn) == ((), ()), "nothing is half recorded"
    (problem,) = found.problems
    assert problem.startswith("The rate card old has been in force since 2026-01-01 00:00:00 UTC and differs")


def test_before_the_first_session_the_files_may_say_anything() -> None:
    other = replace(OLD, cpu_only_hour=Decimal(1))
    found = plan(other, standing=(recorded(OLD),), is_unused=True)
    assert (found.added, [each.card for each in found.withdrawn]) == ((other,), [OLD])


def test_future_card_of_the_files_follows_them() -> None:
    dearer = replace(NEW, cpu_only_hour=Decimal(1))
    found = plan(OLD, dearer, standing=(recorded(OLD), recorded(NEW)))
    assert (found.added, [each.card for each in found.withdrawn]) == ((dearer,), [NEW])
    found = plan(OLD, standing=(recorded(OLD), recorded(NEW)))
    assert (found.added, [each.card for each in found.withdrawn]) == ((), [NEW])


def test_card_that_has_begun_stays_when_the_files_lose_it() -> None:
    assert plan(NEW, standing=(recorded(OLD), recorded(NEW))).withdrawn == ()


@pytest.mark.parametrize("begins", [NOW - timedelta(days=1), NOW, NOW + LEAD])
def test_new_card_of_the_files_never_begins_in_the_past(begins: datetime) -> None:
    found = plan(OLD, replace(NEW, effective_from=begins), standing=(recorded(OLD),))
    assert "new would begin at" in found.problems[0]


def test_future_card_is_never_moved_into_the_past() -> None:
    assert plan(OLD, replace(NEW, effective_from=NOW), standing=(recorded(OLD), recorded(NEW))).problems


def test_cards_that_an_admin_recorded_are_not_the_files_to_change() -> None:
    mine = recorded(NEW, "ada")
    assert plan(OLD, standing=(recorded(OLD), mine)).withdrawn == ()
    assert "ada" in plan(OLD, NEW, standing=(recorded(OLD), mine)).problems[0]
    assert "two cards would hold at once" in plan(OLD, replace(NEW, version="other"), standing=(recorded(OLD), mine)).problems[0]


@pytest.mark.parametrize(
    ("card", "fields"),
    [
        (replace(NEW, version="third", effective_from=NEW.effective_from + timedelta(days=1)), []),
        (NEW, ["version"]),
        (replace(NEW, version="third"), ["document"]),
        (replace(OLD, version="third", effective_from=NOW - timedelta(days=1)), ["document"]),
        (replace(OLD, version="third", effective_from=NOW + LEAD), ["document"]),
        (OLD, ["document", "version"]),
    ],
    ids=["right", "same version", "same instant", "past", "too soon", "past and same version"],
)
def test_new_card_collides_with_none_and_is_to_come(card: RateCard, fields: list[str]) -> None:
    assert [fault.field for fault in faults_of_new(card, (recorded(OLD), recorded(NEW)), NOW)] == fields


def test_each_card_holds_until_the_next_that_stands() -> None:
    gone = recorded(replace(NEW, version="gone", effective_from=NOW), withdrawn_at=NOW)
    spans = {each.recorded.card.version: each.until for each in in_force((recorded(NEW), gone, recorded(OLD)))}
    assert spans == {"new": None, "gone": None, "old": NEW.effective_from}
