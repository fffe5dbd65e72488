"""Invoices to print, made without a database."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from PIL import Image

from aiplatform_hub.domain.billing import Drafting, Tally, drafted, lines_of
from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.credits import Credit, Payment
from aiplatform_hub.domain.invoices import Invoice, credit_note, issued, places_of
from aiplatform_hub.domain.partial_credits import refund
from tests.domain.test_invoice_lines import charge
from tests.support.billing import CENTRES, UNIVERSITY

OCTOBER, NOVEMBER, DECEMBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
HOUR = 3_600_000_000


def picture(kind: str = "PNG", size: tuple[int, int] = (30, 10)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (20, 80, 160)).save(stream, kind)
    return stream.getvalue()


SELLER = replace(UNIVERSITY, iban="DE02120300000000202051", bic="BYLADEM1001", registration_id="HRB 12345", email="billing@example.org", logo=picture())
LAB = CENTRES["lab"]
CREDIT = Credit(UUID(int=7), Scope.PROJECT, "nlp", 20_000_000, "EUR", 1, NOVEMBER, None, "a course", "bea", NOVEMBER)


def draft(seller=SELLER, buyer=LAB, *, months: int = 1, projects=("nlp", "vision")) -> Invoice:
    """Return a draft with every kind of line, the usual ones once for each of so many rate cards."""
    tally = Tally(NOVEMBER)
    for project in projects:
        for number in range(months):
            card = f"card-{number}"
            tally.add(charge(HOUR * 3 // 2, units=2, project=project, month=NOVEMBER, list_price=Decimal("3.60"), price=Decimal("3.24"), rate_card=card))
            tally.add(charge(HOUR // 7, project=project, month=NOVEMBER, price="1.62", list_price=Decimal("3.60"), is_off_peak=True, rate_card=card))
            tally.add(charge(HOUR, project=project, month=NOVEMBER, price="0.04", gpu_type=None, sku=Sku.CPU_ONLY_HOUR, rate_card=card))
    tally.add(charge(HOUR * 700, units=10_000, project=projects[0], month=NOVEMBER, price="0.0375", gpu_type=None, sku=Sku.STORAGE_GIB_MONTH))
    tally.add(charge(HOUR, units=8, project=projects[0], month=NOVEMBER, is_estimated=True, price="1", sku=Sku.IDLE_GPU_HOUR))
    earlier = Tally(OCTOBER)
    earlier.add(charge(HOUR * 3, units=-1, project=projects[-1], month=OCTOBER, price="3.20", is_correction=True))
    tally.pay(Payment(CREDIT, charge(HOUR, month=NOVEMBER), NOVEMBER, DECEMBER, Fraction(14)))
    lines = lines_of(tally, [earlier], {}, places_of(seller.currency))
    return drafted(
        seller,
        buyer,
        own=tally,
        period_end=DECEMBER.replace(day=1, hour=0, minute=0),
        lines=lines,
        drafting=Drafting(UUID(int=5), DECEMBER, "bea", 17, "ab" * 32),
    )


def invoice(*args, number: str = "UE-2026-00017", **kwargs) -> Invoice:
    return issued(draft(*args, **kwargs), number=number, at=DECEMBER, by="bea")


def credited(*args, parts=(), **kwargs) -> Invoice:
    whole = invoice(*args, **kwargs)
    given = refund(whole, (), parts)
    note = credit_note(whole, id_=UUID(int=6), at=DECEMBER, by="bea", reason="Wrong address")
    note = replace(note, lines=given.lines, net=given.net, tax=given.tax, is_partial=not given.is_rest)
    return issued(note, number="UE-2026-00018", at=DECEMBER, by="bea")
