"""What counts in budgets, made for one database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.operations.budget_days import BudgetDays
from aiplatform_hub.operations.budget_follower import BudgetFollower
from aiplatform_hub.operations.budget_settler import BudgetSettler
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.session_moves import SessionMoveStore
from aiplatform_hub.storage.usage_sums import UsageSums


def settler(database: Database, cards: Callable[[], tuple[RateCard, ...]], clock: Callable[[], datetime]) -> BudgetSettler:
    """Return what counts sessions, moves, storage and credits in budgets."""
    charges = ChargeReader(uses=ChargedUseStore(), cards=cards)
    same = {"database": database, "budgets": BudgetStore(), "devices": DeviceStore(), "charges": charges, "clock": clock}
    reader = CreditReader(charges=charges, credits_=CreditStore())
    follower = BudgetFollower(**same, credits_=CreditStore(), credit_reader=reader, moves=SessionMoveStore(), sums=UsageSums(), cards=cards)
    return BudgetSettler(**same, follower=follower)


def days(database: Database, cards: Callable[[], tuple[RateCard, ...]], clock: Callable[[], datetime]) -> BudgetDays:
    """Return what keeps what was spent on each day."""
    charges = ChargeReader(uses=ChargedUseStore(), cards=cards)
    reader = CreditReader(charges=charges, credits_=CreditStore())
    return BudgetDays(database=database, budgets=BudgetStore(), charges=charges, credit_reader=reader, clock=clock)
