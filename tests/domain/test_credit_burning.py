"""Credits pay in burn order, inside their time, never more than there is, and what was paid stays paid."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.charges import Charge, Sku
from aiplatform_hub.domain.credits import Credit, burn, concerning, paid_after

DAY = datetime(2026, 11, 3, tzinfo=UTC)
FIELDS = {"created_by": "root", "reason": "a course"}


def at(hours):
    return DAY + timedelta(hours=hours)


def credit(number, amount, *, scope=Scope.PERSON, name="ada", priority=0, starts=0.0, expires=24.0, created=0.0, ended=None, currency="EUR"):
    given_to = {"scope": scope, "name": name, "amount_micros": int(Decimal(str(amount)) * 10**6), "currency": currency, "priority": priority}
    times = {"starts_at": at(starts), "expires_at": None if expires is None else at(expires), "created_at": at(created - 1)}
    return Credit(id=UUID(int=number), **given_to, **times, **FIELDS, ended_at=None if ended is None else at(ended))


def charge(number, start, end, *, price="1", units=1, user="ada", project="vision", cost_centre="lab", is_correction=False):
    whose = {"user_name": user, "project": project, "cost_centre": cost_centre, "environment_template": "x", "gpu_type": "h100"}
    prices = {"list_price": Decimal(price), "price": Decimal(price), "currency": "EUR", "rate_card": "1"}
    ids = {"interval_id": UUID(int=number), "allocation_id": UUID(int=number)}
    flags = {"is_off_peak": False, "is_estimated": False, "is_correction": is_correction}
    return Charge(**ids, **whose, **prices, **flags, sku=Sku.GPU_HOUR, start=at(start), end=at(end), units=units)


def by_credit(payments):
    return {id_.int: amount for id_, amount in paid_after({}, payments).items()}


NAMES = {Scope.PERSON: ("ada", "bob"), Scope.PROJECT: ("vision", "nlp"), Scope.COST_CENTRE: ("lab", "teaching")}
HOURS = st.integers(0, 24 * 3600 * 10**6).map(lambda microseconds: microseconds / (3600 * 10**6))


@st.composite
def credits_of_a_day(draw):
    found = []
    for number in range(draw(st.integers(0, 5))):
        scope = draw(st.sampled_from(Scope))
        low, high = sorted((draw(HOURS), draw(HOURS)))
        found.append(
            credit(
                number,
                draw(st.sampled_from(["0.000001", "1", "2.5", "7", "100"])),
                scope=scope,
                name=draw(st.sampled_from(NAMES[scope])),
                priority=draw(st.integers(0, 1)),
                starts=low,
                expires=draw(st.sampled_from([high, None])),
                created=draw(st.integers(-3, 0)),
                ended=draw(st.sampled_from([None, None, high])),
                currency=draw(st.sampled_from(["EUR", "EUR", "USD"])),
            )
        )
    return found


@st.composite
def charges_of_a_day(draw):
    found = []
    for number in range(draw(st.integers(0, 6))):
        low, high = sorted((draw(HOURS), draw(HOURS)))
        if at(low) < at(high):
            kinds = {"user": Scope.PERSON, "project": Scope.PROJECT, "cost_centre": Scope.COST_CENTRE}
            names = {name: draw(st.sampled_from(NAMES[scope])) for name, scope in kinds.items()}
            found.append(charge(number, low, high, price=draw(st.sampled_from(["0.3333", "1", "3.6"])), units=draw(st.integers(1, 3)), **names))
    return found


def overlap(one, start, end):
    return max(timedelta(0), min(one.end, end) - max(one.start, start))


@settings(max_examples=150, deadline=None)
@given(credits_of_a_day(), charges_of_a_day())
def test_no_credit_pays_more_than_it_has_nor_outside_its_time_nor_twice(credits_, charges):
    payments = burn(credits_, charges, {})
    for one in credits_:
        assert by_credit(payments).get(one.id.int, 0) <= Fraction(one.amount_micros, 10**6)
    for payment in payments:
        assert payment.amount > 0
        assert payment.credit.starts_at <= payment.start < payment.end <= payment.credit.until
        assert payment.charge.start <= payment.start < payment.end <= payment.charge.end
        assert payment.credit.name in {payment.charge.user_name, payment.charge.project, payment.charge.cost_centre}
        assert payment.credit.currency == payment.charge.currency
    for each in charges:
        mine = sorted((payment.start, payment.end) for payment in payments if payment.charge == each)
        assert all(before[1] <= after[0] for before, after in pairwise(mine))
        assert sum(payment.amount for payment in payments if payment.charge == each) <= each.amount


@settings(max_examples=150, deadline=None)
@given(credits_of_a_day(), charges_of_a_day())
def test_burn_order_is_kept_and_nothing_is_due_while_a_credit_has_something(credits_, charges):
    payments = burn(credits_, charges, {})
    paid = by_credit(payments)
    for one in credits_:
        if paid.get(one.id.int, 0) == Fraction(one.amount_micros, 10**6):
            continue  # it was used up at some time
        for each in charges:
            if each.currency != one.currency or one.name not in {each.user_name, each.project, each.cost_centre}:
                continue
            low, high = max(each.start, one.starts_at), min(each.end, one.until)
            if low >= high:
                continue
            of_better_or_it = [p for p in payments if p.charge == each and p.credit.order <= one.order]
            covered = sum((overlap(p, low, high) for p in of_better_or_it), timedelta(0))
            assert covered == high - low, "what has something left pays before those that come after it, and before anybody owes"


@settings(max_examples=150, deadline=None)
@given(credits_of_a_day(), charges_of_a_day(), HOURS)
def test_what_was_paid_before_an_instant_does_not_depend_on_what_comes_after(credits_, charges, hour):
    cut = at(hour)
    before = [replace(each, end=min(each.end, cut)) for each in charges if each.start < cut]
    after = [replace(each, start=max(each.start, cut)) for each in charges if each.end > cut]
    first = burn(credits_, before, {})
    assert burn([each for each in credits_ if each.starts_at < cut], before, {}) == first, "nor on what is given later"
    paid = paid_after({}, first)
    second = burn(credits_, after, paid)
    assert paid_after(paid, second) == paid_after({}, burn(credits_, charges, {}))


@settings(max_examples=60, deadline=None)
@given(credits_of_a_day(), charges_of_a_day(), st.randoms())
def test_the_order_in_which_they_come_does_not_matter(credits_, charges, random):
    once = burn(credits_, charges, {})
    random.shuffle(credits_)
    random.shuffle(charges)
    assert burn(credits_, charges, {}) == once


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (credit(2, 1, priority=1, expires=24), credit(1, 1, priority=2, expires=5)),
        (credit(2, 1, expires=5, created=0), credit(1, 1, expires=24, created=-9)),
        (credit(2, 1, expires=24), credit(1, 1, expires=None, created=-9)),
        (credit(2, 1, created=-2), credit(1, 1, created=-1)),
        (credit(2, 1, scope=Scope.COST_CENTRE, name="lab", priority=-1), credit(1, 1)),
    ],
)
def test_burn_order_is_priority_then_expiry_then_age(first, second):
    assert by_credit(burn([second, first], [charge(1, 0, 1)], {})) == {first.id.int: 1}
    assert by_credit(burn([second, first], [charge(1, 0, 1.5)], {})) == {first.id.int: 1, second.id.int: Fraction(1, 2)}


def test_what_has_expired_is_gone_and_what_it_paid_stays_paid():
    one = credit(1, 5, expires=2)
    assert by_credit(burn([one], [charge(1, 0, 10)], {})) == {1: 2}
    assert by_credit(burn([credit(1, 5, ended=1)], [charge(1, 0, 10)], {})) == {1: 1}
    assert by_credit(burn([credit(1, 5, starts=9, expires=24)], [charge(1, 0, 10)], {})) == {1: 1}


def test_two_who_run_at_once_share_until_it_is_empty_to_the_last_digit():
    one = credit(1, 5, scope=Scope.PROJECT, name="vision")
    payments = burn([one], [charge(1, 0, 10, price="3.24"), charge(2, 1, 10, price="3.24", user="bob")], {})
    assert by_credit(payments) == {1: 5}
    ends = {payment.charge.user_name: payment.end for payment in payments}
    assert ends["ada"] - ends["bob"] <= timedelta(microseconds=1)
    assert at(1.271) < ends["ada"] < at(1.272)


def test_a_moved_session_is_paid_where_it_was_moved_to():
    taken = charge(1, 0, 2)
    moved = [taken, replace(taken, units=-1, is_correction=True), replace(taken, project="nlp", is_correction=True)]
    both = [credit(1, 5, scope=Scope.PROJECT, name="vision"), credit(2, 5, scope=Scope.PROJECT, name="nlp")]
    assert by_credit(burn(both, moved, {})) == {2: 2}


def test_payments_of_a_span_depend_on_those_that_burnt_beside_its_credits_only():
    long_, beside, apart = credit(1, 1, starts=2, expires=10), credit(2, 1, starts=0, expires=3), credit(3, 1, starts=-5, expires=-1)
    empty = credit(4, 1, starts=5, expires=9, ended=4)
    assert {each.id.int for each in concerning([long_, beside, apart, empty], at(5), at(6))} == {1, 2}
    assert concerning([beside, apart], at(5), at(6)) == ()
