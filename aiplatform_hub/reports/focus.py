"""Charges as FOCUS 1.2, the FinOps Open Cost and Usage Specification: one line for each charge, streamed.

A cost centre is the billing account, a project the sub account, a session the resource. Discounts that everybody gets who
meets a rule of the card are contracted: contracted, effective and billed cost are one.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import BinaryIO

from aiplatform_hub.domain.charges import Charge, Sku
from aiplatform_hub.domain.credits import Payment
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.reports.charge_table import safe_cell

ISSUER = "AI Platform Hub"
NO_COST_CENTRE = "none"
"""Billing account of what belongs to no cost centre: FOCUS demands one."""
COST_PLACES, QUANTITY_PLACES = 10, 12

_UNITS = {
    Sku.GPU_HOUR: ("GPU-Hours", "GPU time"),
    Sku.IDLE_GPU_HOUR: ("GPU-Hours", "Idle GPU time"),
    Sku.CPU_ONLY_HOUR: ("Environment-Hours", "Environment without GPUs"),
    Sku.CPU_CORE_HOUR: ("Core-Hours", "CPU core time"),
    Sku.MEMORY_GIB_HOUR: ("GiB-Hours", "Memory"),
    Sku.STORAGE_GIB_MONTH: ("GiB-Months", "Storage"),
}


def write_focus(charges: Iterable[Charge], complete_until: datetime, stream: BinaryIO, payments: Iterable[Payment] = ()) -> None:
    """Write a header, one line for each charge and one for each part of it that a credit pays.

    Costs are rounded so that they add up to the exact total, rounded.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    sums: dict[str, _RunningSum] = defaultdict(_RunningSum)
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for charge in charges:
        cost = sums[f"cost {charge.currency}"].add(charge.amount)
        list_cost = sums[f"list {charge.currency}"].add(charge.list_amount)
        row = {**_costs(charge, cost, list_cost), **_times(charge, complete_until), **_names(charge)}
        writer.writerow(_safe(row))
    for payment in payments:
        paid = sums[f"credit {payment.charge.currency}"].add(-payment.amount)
        writer.writerow(_safe(_credit_row(payment, paid, complete_until)))
    text.detach()


def _safe(row: Mapping[str, str]) -> dict[str, str]:
    return {name: safe_cell(value) if name in _FREE_TEXT else value for name, value in row.items()}


class _RunningSum:
    """Rounds a stream of amounts so that the rounded ones always add up to the rounded sum."""

    def __init__(self) -> None:
        self._exact = Fraction(0)
        self._given = Decimal(0)

    def add(self, amount: Fraction) -> Decimal:
        self._exact += amount
        part = rounded(self._exact, COST_PLACES) - self._given
        self._given += part
        return part


def _costs(charge: Charge, cost: Decimal, list_cost: Decimal) -> dict[str, str]:
    unit, _ = _UNITS[charge.sku]
    quantity = f"{rounded(charge.quantity, QUANTITY_PLACES):f}"
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost"), f"{cost:f}"),
        "ListCost": f"{list_cost:f}",
        "ContractedUnitPrice": f"{charge.price:f}",
        "ListUnitPrice": f"{charge.list_price:f}",
        **dict.fromkeys(("PricingQuantity", "ConsumedQuantity"), quantity),
        **dict.fromkeys(("PricingUnit", "ConsumedUnit"), unit),
        "PricingCategory": "Standard",
        "BillingCurrency": charge.currency,
    }


def _times(charge: Charge, complete_until: datetime) -> dict[str, str]:
    month = charge.start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start, end = charge.start.replace(microsecond=0), charge.end.replace(microsecond=0)
    return {
        "BillingPeriodStart": _instant(month),
        "BillingPeriodEnd": _instant((month + timedelta(days=32)).replace(day=1)),
        "ChargePeriodStart": _instant(start),
        "ChargePeriodEnd": _instant(max(end, start + timedelta(seconds=1))),
        "x_CompleteUntil": _instant(complete_until),
    }


def _names(charge: Charge) -> dict[str, str]:
    _, meter = _UNITS[charge.sku]
    sku = f"{charge.sku.value}:{charge.gpu_type}" if charge.gpu_type else charge.sku.value
    is_storage = charge.sku is Sku.STORAGE_GIB_MONTH
    tags = {"environment_template": charge.environment_template, "gpu_type": charge.gpu_type or "", "user": charge.user_name}
    return {
        "BillingAccountId": charge.cost_centre or NO_COST_CENTRE,
        "BillingAccountName": charge.cost_centre,
        "BillingAccountType": "Cost centre",
        "SubAccountId": charge.project,
        "SubAccountName": charge.project,
        "SubAccountType": "Project",
        "ChargeCategory": "Usage",
        "ChargeClass": "Correction" if charge.is_correction else "",
        "ChargeDescription": f"{meter} of {charge.user_name}" if is_storage else f"{meter} of {charge.user_name}, {charge.environment_template}",
        "ChargeFrequency": "Usage-Based",
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), ISSUER),
        "ResourceId": f"storage/{charge.user_name}" if is_storage else str(charge.allocation_id),
        "ResourceName": f"Storage of {charge.user_name}" if is_storage else charge.environment_template,
        "ResourceType": "Storage" if is_storage else "Session",
        "ServiceCategory": "Storage" if is_storage else "Compute",
        "ServiceName": "Storage" if is_storage else "Sessions",
        "ServiceSubcategory": "File Storage" if is_storage else "Other (Compute)",
        "SkuId": sku,
        "SkuMeter": meter,
        "SkuPriceId": f"{charge.rate_card}:{sku}",
        "Tags": json.dumps({name: value for name, value in tags.items() if value}, separators=(",", ":")),
        "x_IsEstimated": "true" if charge.is_estimated else "false",
        "x_IsOffPeak": "true" if charge.is_off_peak else "false",
        "x_RateCard": charge.rate_card,
    }


def _credit_row(payment: Payment, paid: Decimal, complete_until: datetime) -> dict[str, str]:
    """Return what a credit pays of a charge: a negative cost without price or quantity, as FOCUS has credits."""
    charge, credit = payment.charge, payment.credit
    described = {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), f"{paid:f}"),
        "BillingCurrency": charge.currency,
        "ChargeCategory": "Credit",
        "ChargeClass": "",
        "ChargeDescription": f"Credit of the {credit.scope.value.replace('_', ' ')} {credit.name}: {credit.reason}",
        "x_CreditId": str(credit.id),
    }
    return {**_names(charge), **_times(replace(charge, start=payment.start, end=payment.end), complete_until), **described}


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit",
    "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity",
    "PricingUnit", "ProviderName", "PublisherName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory",
    "SkuId", "SkuMeter", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
    "x_CompleteUntil", "x_CreditId", "x_IsEstimated", "x_IsOffPeak", "x_RateCard",
)  # fmt: skip
"""Those of FOCUS in the order of their names, then ours."""
_FREE_TEXT = frozenset({"BillingAccountId", "BillingAccountName", "SubAccountId", "SubAccountName", "ChargeDescription", "ResourceName"})
