"""The sessions behind a line are all of it: they add up, whatever the prices, and nothing else is among them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.billing import Drafting, LineKey, drafted, lines_of, tallies
from aiplatform_hub.domain.charges import Charge, Sku
from aiplatform_hub.domain.invoice_sessions import AMOUNT_PLACES, charges_behind, sessions_behind
from aiplatform_hub.domain.rounding import rounded
from tests.support.billing import CENTRES, DECEMBER, NOVEMBER, OCTOBER, UNIVERSITY

DRAFTING = Drafting(uuid4(), DECEMBER, "bea", 1, "0" * 64)


@st.composite
def month_of_charges(draw, month: datetime = NOVEMBER) -> list[Charge]:
    found = []
    for _ in range(draw(st.integers(1, 12))):
        session = draw(st.integers(1, 4))
        start = month + timedelta(microseconds=draw(st.integers(0, 20 * 86_400_000_000)))
        price = Decimal(draw(st.sampled_from(["3.20", "0.333333", "1"])))
        charge = Charge(
            interval_id=UUID(int=session),
            allocation_id=UUID(int=session),
            user_name=f"user{session}",
            project=draw(st.sampled_from(["nlp", "vision"])),
            cost_centre="lab",
            environment_template="pytorch",
            gpu_type=draw(st.sampled_from(["h100", "a100"])),
            sku=draw(st.sampled_from([Sku.GPU_HOUR, Sku.IDLE_GPU_HOUR, Sku.CPU_CORE_HOUR])),
            start=start,
            end=start + timedelta(microseconds=draw(st.integers(1, 86_400_000_000))),
            units=draw(st.sampled_from([1, 2, -1])),
            list_price=price,
            price=price,
            currency="EUR",
            rate_card="2026",
            is_off_peak=draw(st.booleans()),
            is_estimated=False,
        )
        found.append(replace(charge, is_correction=charge.units < 0))
    return found


@given(found=month_of_charges())
def test_sessions_of_all_lines_are_all_charges(found: list[Charge]) -> None:
    own = tallies(NOVEMBER, found)["lab"]
    lines = lines_of(own, [], {}, 2)
    invoice = drafted(UNIVERSITY, CENTRES["lab"], own=own, period_end=DECEMBER, lines=lines, drafting=DRAFTING)
    for line in lines:
        behind = sessions_behind(invoice, line, found)
        assert not behind.invoiced_before
        assert behind.amount == rounded(line.exact_amount, AMOUNT_PLACES)
        assert sum((share.quantity for share in behind.sessions), Decimal(0)) == line.quantity
        assert abs(behind.amount - line.amount) < Decimal("0.01")
    in_lines = sum(each.is_in_line for line in lines for each in charges_behind(invoice, line, found))
    zero = {key for key, units in own.units.items() if not units}
    assert in_lines == sum(not any(_fits(charge, key) for key in zero) for charge in found), "each charge is behind exactly one line"


def _fits(charge: Charge, key) -> bool:
    names = ("project", "sku", "gpu_type", "list_price", "price", "rate_card", "is_off_peak")
    return all(getattr(charge, name) == getattr(key, name) for name in names)


def test_a_line_about_an_earlier_month_says_what_was_invoiced_before() -> None:
    def one(session: int, hours: int) -> Charge:
        shared = {"user_name": "ada", "project": "nlp", "cost_centre": "lab", "environment_template": "pytorch", "gpu_type": "h100", "sku": Sku.GPU_HOUR}
        prices = {"list_price": Decimal(3), "price": Decimal(3), "currency": "EUR", "rate_card": "2026", "is_off_peak": False, "is_estimated": False}
        start = OCTOBER + timedelta(days=session)
        ids = {"interval_id": UUID(int=session), "allocation_id": UUID(int=session)}
        return Charge(start=start, end=start + timedelta(hours=hours), units=1, **ids, **shared, **prices)

    before, after = [one(1, 2)], [one(1, 2), one(2, 5)]
    october = lines_of(tallies(OCTOBER, before)["lab"], [], {}, 2)
    demanded = {OCTOBER: {_correction(line): line.unit_microseconds for line in october}}
    own = tallies(NOVEMBER, [replace(one(1, 1), start=NOVEMBER, end=NOVEMBER + timedelta(hours=1))])["lab"]
    lines = lines_of(own, [tallies(OCTOBER, after)["lab"]], demanded, 2)
    invoice = drafted(UNIVERSITY, CENTRES["lab"], own=own, period_end=DECEMBER, lines=lines, drafting=DRAFTING)
    correction = next(line for line in lines if line.is_correction)
    behind = sessions_behind(invoice, correction, after)
    assert (correction.amount, behind.amount, behind.invoiced_before) == (Decimal("15.00"), Decimal(21), Decimal(6))
    assert [share.allocation_id.int for share in behind.sessions] == [2, 1], "the dearest first"
    assert not behind.is_own_month


def _correction(line) -> LineKey:
    return LineKey(line.project, line.sku, line.gpu_type, line.list_price, line.price, line.rate_card, line.is_off_peak, is_correction=True)
