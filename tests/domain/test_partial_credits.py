"""What credit notes give back of an invoice is never more than it demanded, and adds up to it in the end."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.invoices import Invoice, credit_note
from aiplatform_hub.domain.partial_credits import Part, lines_left, refund
from aiplatform_hub.errors import ConflictError, InvalidOptionError
from tests.support.invoices import DECEMBER, SELLER, invoice

ONE = invoice()


def note(notes, *parts: Part, one: Invoice = ONE) -> Invoice:
    given = refund(one, notes, parts)
    whole = credit_note(one, id_=UUID(int=9), at=DECEMBER, by="bea", reason="x")
    return replace(whole, lines=given.lines, net=given.net, tax=given.tax, is_partial=not given.is_rest)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, len(ONE.lines)), st.integers(1, 99)), max_size=25), st.sampled_from(["19", "7.7", "0", None]))
def test_whatever_is_given_back_in_between_all_notes_add_up_to_the_invoice(steps, percent):
    one = invoice(replace(SELLER, tax_percent=None if percent is None else Decimal(percent)))
    notes: list[Invoice] = []
    for position, share in steps:
        left = {line.position: line for line in lines_left(one, notes)}
        amount = (left[position].amount * share / 100).quantize(Decimal("0.01")) if position in left else Decimal(0)
        if amount:
            notes.append(note(notes, Part(position, amount), one=one))
        for line in lines_left(one, notes):
            whole = one.lines[line.position - 1]
            assert 0 <= line.amount * whole.amount <= whole.amount**2, "never more than the line"
    if lines_left(one, notes):
        notes.append(note(notes, one=one))
    assert not lines_left(one, notes)
    assert (sum(each.net for each in notes), sum(each.tax for each in notes)) == (one.net, one.tax)
    assert all(each.net == sum(line.amount for line in each.lines) for each in notes)


def test_a_line_is_given_back_with_its_quantity_and_its_tax():
    first, second = ONE.lines[0], ONE.lines[1]
    half = note([], Part(first.position, first.amount / 2))
    assert [(line.position, line.amount) for line in half.lines] == [(first.position, first.amount / 2)]
    assert abs(half.lines[0].exact_amount - Fraction(half.lines[0].amount)) < Fraction(1, 200)
    both = note([half], Part(second.position), Part(first.position))
    assert [(line.position, line.amount) for line in both.lines] == [(first.position, first.amount / 2), (second.position, second.amount)]
    assert both.lines[0].unit_microseconds + half.lines[0].unit_microseconds == first.unit_microseconds
    assert half.is_partial
    assert both.is_partial


def test_who_gives_every_line_back_takes_the_invoice_back():
    assert not note([], *(Part(line.position) for line in ONE.lines)).is_partial
    assert note([]).lines == ONE.lines


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((Part(99),), "There is no line 99 on invoice UE-2026-00017"),
        ((Part(1), Part(1)), "Line 1 is named twice"),
        ((Part(1, Decimal(0)),), "Of line 1 can be given back"),
        ((Part(1, Decimal(-1)),), "Of line 1 can be given back"),
        ((Part(1, Decimal("NaN")),), "Of line 1 can be given back"),
        ((Part(1, Decimal("Infinity")),), "Of line 1 can be given back"),
        ((Part(1, ONE.lines[0].amount + Decimal("0.01")),), "Of line 1 can be given back"),
        ((Part(1, Decimal("0.001")),), "has more than 2 decimal places"),
    ],
)
def test_what_cannot_be_given_back_is_named(parts, said):
    with pytest.raises(InvalidOptionError, match=said):
        refund(ONE, [], parts)


def test_nothing_is_given_back_twice():
    first = note([], Part(1))
    with pytest.raises(ConflictError, match="Line 1 of invoice UE-2026-00017 was given back already"):
        refund(ONE, [first], (Part(1),))
    with pytest.raises(ConflictError, match="Invoice UE-2026-00017 was given back already"):
        refund(ONE, [note([])], ())
