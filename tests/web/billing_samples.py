"""Pages below Billing, with what a person might have typed in every free text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from aiplatform_hub.domain.billing import Drafting, drafted, lines_of, tallies
from aiplatform_hub.domain.budgets import Budget, Period, Scope, Spending
from aiplatform_hub.domain.charges import Charge, Sku
from aiplatform_hub.domain.disputes import Dispute, Entry, EntryKind
from aiplatform_hub.domain.invoice_sessions import charges_behind, sessions_behind
from aiplatform_hub.domain.invoices import credit_note, issued, void
from aiplatform_hub.domain.partial_credits import Part, refund
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.operations.billing_reader import Months
from aiplatform_hub.operations.invoices import CreditPlan
from aiplatform_hub.storage.budgets import Standing
from aiplatform_hub.storage.invoice_heads import InvoiceHead
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.billing import invoice_page, months_page
from aiplatform_hub.web.view_models.billing_credit import credit_page
from aiplatform_hub.web.view_models.billing_lines import Reader, charges_page, line_page
from aiplatform_hub.web.view_models.frame import Frame
from aiplatform_hub.web.view_models.problem import problem_of
from tests.support.billing import CENTRES, DECEMBER, NOVEMBER, UNIVERSITY
from tests.web.samples import CATALOG, HOSTILE, PATHS, frame

DAY = datetime(2026, 11, 3, 9, tzinfo=UTC)


def charge(number: int, hours: int, *, project: str = "vision", sku: Sku = Sku.GPU_HOUR) -> Charge:
    return Charge(
        interval_id=UUID(int=number),
        allocation_id=UUID(int=number),
        user_name=HOSTILE if number == 1 else "ada",
        project=project,
        cost_centre="lab",
        environment_template="hostile" if number == 1 else "pytorch",
        gpu_type="h100",
        sku=sku,
        start=DAY + timedelta(days=number),
        end=DAY + timedelta(days=number, hours=hours),
        units=2,
        list_price=Decimal("3.40"),
        price=Decimal("3.06"),
        currency="EUR",
        rate_card=HOSTILE if number == 1 else "2026",
        is_off_peak=sku is Sku.CPU_CORE_HOUR,
        is_estimated=number == 2,
    )


CHARGES = (charge(1, 2), charge(2, 5), charge(3, 1, project=HOSTILE), charge(2, 4, sku=Sku.CPU_CORE_HOUR))
CHARGES_OF_ONE = tuple(each for each in CHARGES if each.allocation_id == UUID(int=2))
_OWN = tallies(NOVEMBER, CHARGES)["lab"]
_CENTRE = replace(CENTRES["lab"], display_name=HOSTILE, address=(HOSTILE,), code=HOSTILE)
_DRAFT = drafted(
    UNIVERSITY,
    _CENTRE,
    own=_OWN,
    period_end=DECEMBER,
    lines=lines_of(_OWN, [], {}, 2),
    drafting=Drafting(UUID(int=50), DECEMBER, HOSTILE, 12, "0" * 64),
)
INVOICE = issued(_DRAFT, number="UE-2026-00001", at=DECEMBER + timedelta(hours=9), by=HOSTILE)
LINE = next(line for line in INVOICE.lines if line.rate_card == "2026" and line.project == "vision" and line.sku is Sku.GPU_HOUR)
_SAID = ((EntryKind.OPENED, "vera", f"Twice?\n{HOSTILE}"), (EntryKind.ANSWERED, "boss", HOSTILE), (EntryKind.REPLIED, HOSTILE, "Still."))
DISPUTE = Dispute(UUID(int=60), INVOICE.id, LINE.position, tuple(Entry(number, kind, by, DECEMBER, text) for number, (kind, by, text) in enumerate(_SAID, 1)))
TOO_LONG = InvalidOptionError(HOSTILE, (Reason("invalid_option", HOSTILE, field="text"),))

BUDGETS = tuple(
    Standing(Budget(UUID(int=70), scope, HOSTILE, 10**9, "EUR", Period.MONTH, NOVEMBER, None, HOSTILE, HOSTILE, NOVEMBER), Spending(6 * 10**8, taken), 10**9)
    for scope, taken in ((Scope.COST_CENTRE, 10**8), (Scope.PROJECT, 4 * 10**8), (Scope.PERSON, 0))
)


def _frame() -> Frame:
    return replace(frame("billing"), reads_billing=True)


def head(invoice) -> InvoiceHead:
    return InvoiceHead(**{name: getattr(invoice, name) for name in InvoiceHead.__dataclass_fields__})


def months() -> str:
    note = credit_note(INVOICE, id_=UUID(int=51), at=DECEMBER, by="bea", reason=HOSTILE)
    note = issued(note, number="UE-2026-00002", at=DECEMBER + timedelta(hours=10), by="bea")
    documents = tuple(map(head, (void(INVOICE, credited_by="UE-2026-00002"), note, replace(_DRAFT, id=UUID(int=52), cost_centre=HOSTILE))))
    found = Months(documents, {INVOICE.id: 1}, NOVEMBER)
    return render("billing.html", _frame(), page=months_page(found, [(DISPUTE, INVOICE)], BUDGETS, CATALOG, PATHS, is_newest=True))


def no_months() -> str:
    return render("billing.html", _frame(), page=months_page(Months((), {}, None), [], (), CATALOG, PATHS, is_newest=True))


def invoice() -> str:
    return render("billing-invoice.html", _frame(), page=invoice_page(INVOICE, [DISPUTE], {"csv": "CSV", "json": "JSON"}, CATALOG, PATHS, may_credit=True))


def credit() -> str:
    plan = CreditPlan(INVOICE, (), INVOICE.lines, None)
    return render("billing-credit.html", _frame(), page=credit_page(plan, {}, CATALOG, PATHS, problem=None))


def chosen_credit() -> str:
    part = Part(LINE.position, Decimal("1.5"))
    plan = CreditPlan(INVOICE, (), INVOICE.lines, refund(INVOICE, (), (part,)))
    fields = {f"line-{LINE.position}": "1.5", "reason": HOSTILE}
    return render("billing-credit.html", _frame(), page=credit_page(plan, fields, CATALOG, PATHS, problem=problem_of(TOO_LONG)))


def line() -> str:
    found = sessions_behind(INVOICE, LINE, CHARGES)
    page = line_page(INVOICE, found, [DISPUTE], reader=Reader("vera", may_dispute=True, may_answer=True), catalog=CATALOG, paths=PATHS)
    return render("billing-line.html", _frame(), page=page)


def refused_line() -> str:
    found = replace(sessions_behind(INVOICE, LINE, CHARGES), invoiced_before=Decimal("1.5"))
    reader, problem = Reader("vera", may_dispute=True, may_answer=False), problem_of(TOO_LONG)
    page = line_page(INVOICE, found, [], reader=reader, catalog=CATALOG, paths=PATHS, size=1, text=HOSTILE, problem=problem)
    return render("billing-line.html", _frame(), page=page)


def session() -> str:
    found = charges_behind(INVOICE, LINE, CHARGES_OF_ONE)
    return render("billing-session.html", _frame(), page=charges_page(INVOICE, LINE, found, catalog=CATALOG, paths=PATHS, may_open=False))


PAGES = {
    "billing": months,
    "no-billing": no_months,
    "billing-invoice": invoice,
    "billing-credit": credit,
    "billing-credit-chosen": chosen_credit,
    "billing-line": line,
    "refused-billing-line": refused_line,
    "billing-session": session,
}
