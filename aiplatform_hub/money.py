"""What prices, counts, bounds and bills what was used: everything of a process that has to do with money.

Each object is made once, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from aiplatform_hub.clients.signed_post import SHORTEST_SECRET, SignedPost
from aiplatform_hub.config import accounting_secret
from aiplatform_hub.domain.catalog import LegalEntity, RateCard
from aiplatform_hub.domain.chargeback import with_idle_prices
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.hub_factory import HubFactory
from aiplatform_hub.operations.billing_reader import BillingReader
from aiplatform_hub.operations.budget_days import BudgetDays
from aiplatform_hub.operations.budget_follower import BudgetFollower
from aiplatform_hub.operations.budget_settler import BudgetSettler
from aiplatform_hub.operations.budget_warnings import BudgetWarnings
from aiplatform_hub.operations.budgets import Budgets
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_reporter import ChargeReporter
from aiplatform_hub.operations.charge_rollup import ChargeRollup
from aiplatform_hub.operations.charge_sums import ChargeSumReader
from aiplatform_hub.operations.chargeback import ChargebackReader
from aiplatform_hub.operations.cost_reporter import CostReporter
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.operations.credit_settler import CreditSettler
from aiplatform_hub.operations.credits import Credits
from aiplatform_hub.operations.disputes import Disputes
from aiplatform_hub.operations.energy import EnergyReader
from aiplatform_hub.operations.gpu_activity import GpuActivityReader
from aiplatform_hub.operations.invoice_drafts import InvoiceDrafter
from aiplatform_hub.operations.invoice_hand_over import InvoiceHandOver
from aiplatform_hub.operations.invoices import Invoices
from aiplatform_hub.operations.ledger import LedgerVerifier
from aiplatform_hub.operations.session_moves import SessionMoves
from aiplatform_hub.operations.showback import Showback
from aiplatform_hub.operations.storage_meter import StorageMeter
from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.capacity_changes import CapacityHistory
from aiplatform_hub.storage.charge_rollup import ChargeRollupStore
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.disputes import DisputeStore
from aiplatform_hub.storage.energy import EnergyStore
from aiplatform_hub.storage.energy_sums import EnergySums
from aiplatform_hub.storage.invoice_heads import InvoiceHeads
from aiplatform_hub.storage.invoice_outbox import InvoiceOutbox
from aiplatform_hub.storage.invoices import InvoiceStore
from aiplatform_hub.storage.session_moves import SessionMoveStore
from aiplatform_hub.storage.showback import ShowbackStore
from aiplatform_hub.storage.storage_samples import StorageSampleStore
from aiplatform_hub.storage.usage_sums import UsageSums


class Money(HubFactory):
    """Makes what rate cards, charges, budgets, credits, reports and invoices need."""

    @cached_property
    def credit_store(self) -> CreditStore:
        """Credits, and what each has paid."""
        return CreditStore()

    @cached_property
    def usage_sums(self) -> UsageSums:
        """Sums over the ledger."""
        return UsageSums()

    @cached_property
    def storage_samples(self) -> StorageSampleStore:
        """The same, once a day, for who pays for it."""
        return StorageSampleStore()

    @cached_property
    def energies(self) -> EnergyStore:
        """The energy that sessions' GPUs took."""
        return EnergyStore()

    @cached_property
    def charge_reader(self) -> ChargeReader:
        """Reads what was used as charges."""
        return self._charge_reader(self.rate_cards)

    @cached_property
    def split_charge_reader(self) -> ChargeReader:
        """Reads the same charges, used and idle time apart everywhere."""
        return self._charge_reader(lambda: with_idle_prices(self.rate_cards()))

    @staticmethod
    def _charge_reader(cards: Callable[[], tuple[RateCard, ...]]) -> ChargeReader:
        return ChargeReader(uses=ChargedUseStore(), cards=cards)

    @cached_property
    def charge_sums(self) -> ChargeSumReader:
        """Reads charges, of days that are over as sums."""
        return ChargeSumReader(charges=self.charge_reader, activity=self.gpu_activity, rollup=ChargeRollupStore(), cards=self.rate_cards, clock=self.clock)

    @cached_property
    def gpu_activity(self) -> GpuActivityReader:
        """Reads what GPUs did."""
        return GpuActivityReader(activity=ActivitySums(), cards=self.rate_cards)

    @cached_property
    def charge_rollup(self) -> ChargeRollup:
        """Makes those sums."""
        return ChargeRollup(
            database=self.database,
            charges=self.charge_reader,
            activity=self.gpu_activity,
            rollup=ChargeRollupStore(),
            reader=self.charge_sums,
            cards=self.rate_cards,
            clock=self.clock,
        )

    @cached_property
    def charge_reporter(self) -> ChargeReporter:
        """Writes reports of what was charged."""
        return ChargeReporter(
            database=self.database,
            charges=self.charge_reader,
            charge_sums=self.charge_sums,
            credits_=self.credit_reader,
            sums=self.usage_sums,
            cards=self.rate_cards,
            clock=self.clock,
            energy=EnergySums(),
            factors=self.catalog.carbon_factors,
        )

    @cached_property
    def reporter(self) -> CostReporter:
        """Sums usage and costs."""
        return CostReporter(
            database=self.database,
            cards=self.rate_cards,
            sums=self.usage_sums,
            activity=ActivitySums(),
            charge_sums=self.charge_sums,
            clock=self.clock,
        )

    @cached_property
    def session_moves(self) -> SessionMoves:
        """Charges ended sessions to other projects."""
        return SessionMoves(
            database=self.database,
            catalog=self.catalog,
            allocations=self.allocations,
            moves=SessionMoveStore(),
            uses=ChargedUseStore(),
            cards=self.rate_cards,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def storage_meter(self) -> StorageMeter:
        """Records how much people's storage holds."""
        return StorageMeter(database=self.database, catalog=self.catalog, usage=self.storage_usage, storage_samples=self.storage_samples, clock=self.clock)

    @cached_property
    def energy(self) -> EnergyReader:
        """Reads what energy sessions took."""
        return EnergyReader(database=self.database, catalog=self.catalog, energies=self.energies, sums=EnergySums())

    @cached_property
    def budgets(self) -> Budgets:
        """Sets and ends budgets."""
        return Budgets(
            database=self.database,
            budgets=self.budget_store,
            devices=self.devices,
            catalog=self.catalog,
            cards=self.rate_cards,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def budget_settler(self) -> BudgetSettler:
        """Counts in budgets what sessions cost."""
        return BudgetSettler(
            database=self.database,
            budgets=self.budget_store,
            devices=self.devices,
            charges=self.charge_reader,
            follower=self.budget_follower,
            clock=self.clock,
        )

    @cached_property
    def budget_follower(self) -> BudgetFollower:
        """Counts in budgets what is moved, stored, and paid by credits."""
        return BudgetFollower(
            database=self.database,
            budgets=self.budget_store,
            devices=self.devices,
            charges=self.charge_reader,
            credits_=self.credit_store,
            credit_reader=self.credit_reader,
            moves=SessionMoveStore(),
            sums=self.usage_sums,
            cards=self.rate_cards,
            clock=self.clock,
        )

    @cached_property
    def budget_days(self) -> BudgetDays:
        """Keeps what was spent on each of the last days."""
        return BudgetDays(database=self.database, budgets=self.budget_store, charges=self.charge_reader, credit_reader=self.credit_reader, clock=self.clock)

    @cached_property
    def budget_warnings(self) -> BudgetWarnings:
        """Tells people that a budget is nearly spent."""
        return BudgetWarnings(database=self.database, budgets=self.budget_store, notices=self.notices, clock=self.clock)

    @cached_property
    def credits(self) -> Credits:
        """Gives and ends credits."""
        return Credits(
            database=self.database,
            credits_=self.credit_store,
            catalog=self.catalog,
            cards=self.rate_cards,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def credit_reader(self) -> CreditReader:
        """Tells what credits pay."""
        return CreditReader(charges=self.charge_reader, credits_=self.credit_store)

    @cached_property
    def credit_settler(self) -> CreditSettler:
        """Notes what each credit has paid."""
        return CreditSettler(database=self.database, credits_=self.credit_store, reader=self.credit_reader, sums=self.usage_sums, clock=self.clock)

    @cached_property
    def chargeback(self) -> ChargebackReader:
        """Reads what each cost centre owes."""
        return ChargebackReader(
            database=self.database,
            charges=self.split_charge_reader,
            credits_=self.credit_reader,
            capacity=CapacityHistory(),
            sums=self.usage_sums,
            cards=self.rate_cards,
            clock=self.clock,
        )

    @cached_property
    def showback(self) -> Showback:
        """Tells project leads what their projects used."""
        return Showback(
            database=self.database,
            catalog=self.catalog,
            showback=ShowbackStore(),
            charges=self.split_charge_reader,
            sums=self.usage_sums,
            activity=ActivitySums(),
            notices=self.notices,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def verifier(self) -> LedgerVerifier:
        """Checks the chain of the ledger."""
        return LedgerVerifier(self.database, self.ledger_head, self.usage_store)

    @cached_property
    def invoices(self) -> Invoices:
        """Drafts, issues and takes back invoices."""
        invoices = InvoiceStore()
        drafter = InvoiceDrafter(
            database=self.database,
            catalog=self.catalog,
            invoices=invoices,
            charges=self.charge_reader,
            credits_=self.credit_reader,
            sums=self.usage_sums,
            verifier=self.verifier,
            clock=self.clock,
        )
        return Invoices(
            database=self.database,
            catalog=self.catalog,
            invoices=invoices,
            outbox=InvoiceOutbox(),
            drafter=drafter,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def billing_reader(self) -> BillingReader:
        """Reads months of invoices, and the sessions behind a line."""
        return BillingReader(
            database=self.database,
            invoices=InvoiceStore(),
            heads=InvoiceHeads(),
            disputes=DisputeStore(),
            charges=self.charge_reader,
            credits_=self.credit_reader,
        )

    @cached_property
    def disputes(self) -> Disputes:
        """Disputes of lines of invoices."""
        return Disputes(
            database=self.database,
            disputes=DisputeStore(),
            invoices=InvoiceStore(),
            notices=self.notices,
            audit_trail=self.audit_trail,
            clock=self.clock,
        )

    @cached_property
    def invoice_hand_over(self) -> InvoiceHandOver:
        """Tells accountings of invoices.

        Raises
        ------
        ConfigurationError
            If there is no secret to sign with.
        """
        posts = {entity.name: self._accounting_of(entity) for entity in self.catalog.legal_entities.values() if entity.accounting_url}
        return InvoiceHandOver(database=self.database, outbox=InvoiceOutbox(), posts=posts, clock=self.clock)

    def _accounting_of(self, entity: LegalEntity) -> SignedPost:
        secret = accounting_secret(entity.name, self.settings.secrets_dir)
        if len(secret) < SHORTEST_SECRET:
            raise ConfigurationError(
                f"The legal entity {entity.name} has an accounting_url, but no secret of at least {SHORTEST_SECRET} characters to sign with: "
                f"put one into secrets/accounting-{entity.name} in the data directory."
            )
        return SignedPost(entity.accounting_url, secret)
