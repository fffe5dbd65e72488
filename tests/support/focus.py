"""What FOCUS 1.2 demands of a data set, as data: levels, types, nulls and allowed values of its columns (tests/data/focus-1.2-columns.json,
taken from the published specification, tag v1.2), and those of its normative rules that concern usage charges and credits."""

from __future__ import annotations

import csv
import json
import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

COLUMNS = json.loads((Path(__file__).parents[1] / "data" / "focus-1.2-columns.json").read_text())
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(E-?\d+)?")
_ANY = re.compile(r".+", re.DOTALL)
_FORMS = {"Decimal": _NUMBER, "Date/Time": _INSTANT, "JSON": re.compile(r"\{.*\}")}
_UNIT = re.compile(r"(\d+ )?[A-Z][A-Za-z]*(-(Hours|Months|Days))?")
_PRODUCTS = (("ContractedUnitPrice", "ContractedCost"), ("ListUnitPrice", "ListCost"))
_TOLERANCE = Decimal("1E-9")


def problems(text: str) -> list[str]:
    """Return every breach, with its line."""
    reader = csv.DictReader(text.splitlines(keepends=True))
    header = reader.fieldnames or []
    found = [f"header: {name} is mandatory" for name, rule in COLUMNS.items() if rule["level"] == "Mandatory" and name not in header]
    found += [f"header: {name} is neither a column of FOCUS nor begins with x_" for name in header if name not in COLUMNS and not name.startswith("x_")]
    for row in reader:
        found += [f"line {reader.line_num}: {breach}" for breach in (*_breaches(row), *_rules(row))]
    return found


def _breaches(row: dict[str, str]):
    for name, value in row.items():
        rule = COLUMNS.get(name)
        if rule is None:
            continue
        if not value:
            if not rule["allows_nulls"]:
                yield f"{name} is null"
        elif not _FORMS.get(rule["type"], _ANY).fullmatch(value) or (name.endswith("Unit") and not _UNIT.fullmatch(value)):
            yield f"{name} has the wrong form: {value}"
        elif "allowed" in rule and ([row["ServiceCategory"], value] if name == "ServiceSubcategory" else value) not in rule["allowed"]:
            yield f"{name} is none of the allowed values: {value}"


def _rules(row: dict[str, str]):
    try:
        start, end, low, high = (
            datetime.fromisoformat(row[name]) for name in ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd")
        )
        if not (low <= start < end <= high):
            yield "the charge period is not inside the billing period"
        if row["ChargeCategory"] == "Credit":
            yield from _credit_rules(row)
        for price, cost in _PRODUCTS if row["ChargeCategory"] != "Credit" else ():
            if not row["ChargeClass"] and abs(Decimal(row[price]) * Decimal(row["PricingQuantity"]) - Decimal(row[cost])) > _TOLERANCE:
                yield f"{price} × PricingQuantity is not {cost}"
            if Decimal(row[price]) < 0:
                yield f"{price} is negative"
    except (ValueError, InvalidOperation, KeyError) as error:
        yield f"unreadable: {error!r}"
    if row.get("ChargeCategory") == "Usage" and not row.get("ChargeClass") and not (row.get("PricingQuantity") and row.get("ConsumedQuantity")):
        yield "a usage charge has no quantity"
    if bool(row.get("SubAccountId")) != bool(row.get("SubAccountType")):
        yield "SubAccountType goes with SubAccountId"
    if not re.fullmatch(r"[A-Z]{3}", row.get("BillingCurrency", "")):
        yield "BillingCurrency is no ISO 4217 code"


def _credit_rules(row: dict[str, str]):
    """A credit that is no part of another charge costs the same in every column, less than nothing, and has neither price nor quantity."""
    if len({row[name] for name in ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")}) > 1 or Decimal(row["BilledCost"]) > 0:
        yield "a credit is not one negative cost"
    if any(row[name] for name in ("ListUnitPrice", "ContractedUnitPrice", "PricingQuantity", "PricingUnit", "ConsumedQuantity", "ConsumedUnit")):
        yield "a credit has a price or a quantity"
