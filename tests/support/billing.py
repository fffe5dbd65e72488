"""A month that is over, with two cost centres that a university invoices, over a real database."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import insert

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.catalog import Catalog, CostCentre, LegalEntity, RateCard
from aiplatform_hub.domain.ledger import chained
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.operations.invoice_drafts import InvoiceDrafter
from aiplatform_hub.operations.invoices import Invoices
from aiplatform_hub.operations.ledger import LedgerVerifier
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.invoice_outbox import InvoiceOutbox
from aiplatform_hub.storage.invoices import InvoiceStore
from aiplatform_hub.storage.ledger_head import LedgerHead
from aiplatform_hub.storage.schema import allocations
from aiplatform_hub.storage.usage import UsageStore
from aiplatform_hub.storage.usage_sums import UsageSums

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
UNIVERSITY = LegalEntity(
    name="university",
    display_name="University of Example",
    address=("Hauptstrasse 1", "12345 Exampletown"),
    country="DE",
    number_prefix="UE-",
    currency="EUR",
    tax_id="DE123456789",
    tax_percent=Decimal(19),
)
CENTRES = {
    "lab": CostCentre("lab", "Lab", legal_entity="university", code="4711", address=("Labweg 2", "12345 Exampletown"), country="DE"),
    "library": CostCentre("library", "Library", legal_entity="university"),
    "guests": CostCentre("guests", "Guests"),
}
CARDS = (
    RateCard("2026", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"h100": Decimal("3.20"), "*": Decimal("1.00")}, Decimal("0.04")),
    RateCard("2026-11-15", datetime(2026, 11, 15, tzinfo=UTC), "EUR", {"h100": Decimal("3.40"), "*": Decimal("1.00")}, Decimal("0.04")),
)
CATALOG = Catalog({}, {}, {}, {}, CENTRES, CARDS, legal_entities={"university": UNIVERSITY})


@dataclass
class Office:
    """Who meters and invoices; its clock stands at the begin of December."""

    database: Database
    folder: Path
    catalog: Catalog = CATALOG
    now: datetime = DECEMBER + timedelta(hours=1)
    usage: UsageStore = field(default_factory=UsageStore)

    def __post_init__(self) -> None:
        self.head = LedgerHead(self.folder / "ledger-head.json")
        self.store = InvoiceStore()
        self.outbox = InvoiceOutbox()
        charges = ChargeReader(uses=ChargedUseStore(), cards=lambda: self.catalog.rate_cards)
        verifier = LedgerVerifier(self.database, self.head)
        drafter = self.drafter = InvoiceDrafter(
            database=self.database,
            catalog=self.catalog,
            invoices=self.store,
            charges=charges,
            credits_=CreditReader(charges=charges, credits_=CreditStore()),
            sums=UsageSums(),
            verifier=verifier,
            clock=self.clock,
        )
        trail = AuditTrail(database=self.database, audit=AuditStore(), clock=self.clock)
        self.invoices = Invoices(
            database=self.database, catalog=self.catalog, invoices=self.store, outbox=self.outbox, drafter=drafter, audit_trail=trail, clock=self.clock
        )

    def clock(self) -> datetime:
        return self.now

    def used(self, cost_centre: str, start: datetime, hours: float, *, project: str = "vision", gpus: int = 1, is_open: bool = False) -> UUID:
        """Meter a session, and return the id of its interval."""
        kind = "h100" if gpus else None
        whose = {"user_id": 1, "user_name": "ada", "project": project, "cost_centre": cost_centre}
        shared = {**whose, "environment_template": "pytorch", "gpus": gpus, "gpu_type": kind, "memory_bytes": 1, "cpu_cores": 1}
        one = UsageInterval(id=uuid4(), allocation_id=uuid4(), started_at=start, last_seen_at=start, **shared)
        with self.database.write() as connection:
            row = {"server_name": str(one.id), "state": "ended", "devices": [], "door": "rest", "actor": "ada", "requested_at": start}
            connection.execute(insert(allocations).values(id=one.allocation_id, **row, **shared))
            self.usage.open(connection, one)
            if not is_open:
                head = self.usage.head(connection)
                ended = replace(one, ended_at=start + timedelta(hours=hours), end_cause=EndCause.STOPPED)
                self.usage.close(connection, chained(ended, sequence=head.sequence + 1, previous_hash=head.hash))
        return one.id

    def usual_november(self) -> None:
        """Meter what two cost centres used in November."""
        self.used("lab", NOVEMBER + timedelta(days=13, hours=20), 8)
        self.used("lab", NOVEMBER + timedelta(days=3), 1.001, project="nlp", gpus=2)
        self.used("lab", NOVEMBER + timedelta(days=4), 100, project="nlp", gpus=0)
        self.used("library", NOVEMBER + timedelta(days=29, hours=23), 2)
        self.used("guests", NOVEMBER, 5)

    def issued(self, cost_centre: str = "lab", month: str = "2026-11"):
        """Draft and issue one cost centre's month."""
        (draft,) = self.invoices.draft(month, by="bea", cost_centre=cost_centre).invoices
        return self.invoices.issue([draft.id], by="bea")[0]
