"""Single rate cards as documents: an entry of ``rates.yaml`` without its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from aiplatform_hub.catalog.documents import Document, document_of
from aiplatform_hub.catalog.loader import NAME, keys_at
from aiplatform_hub.catalog.problems import configuration_error, wording
from aiplatform_hub.catalog.rate_card_model import WEEKDAYS, RateCardModel, faults_of_names
from aiplatform_hub.domain.catalog import Catalog, RateCard, Unallocated
from aiplatform_hub.domain.off_peak import OffPeak
from aiplatform_hub.domain.units import isoformat

MOST_BYTES = 64 * 1024
"""Longest document."""


def is_version(name: str) -> bool:
    """Return whether a card can be called so."""
    return NAME.fullmatch(name) is not None


def read_rate_card(text: str, version: str, *, name: str = "document", catalog: Catalog | None = None) -> RateCard:
    """Return the card that a document says.

    Parameters
    ----------
    name
        What the problems call the document.
    catalog
        What the names in it must be of; None where they were checked before.

    Raises
    ------
    ConfigurationError
        With every problem at once, each with its line.
    """
    document = document_of(text.encode("utf-8", "replace"), Path(name))
    model = _model(document)
    if model is not None and catalog is not None:
        for path, fault in faults_of_names(model, catalog.gpu_types, catalog.tiers, catalog.projects, catalog.cost_centres):
            document.add_problem(path, fault)
    if model is None or document.problems:
        raise configuration_error("The rate card", document.problems)
    return model.to_domain(version)


def _model(document: Document) -> RateCardModel | None:
    try:
        return RateCardModel.model_validate(document.content)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            document.add_problem(item["loc"], wording(item, keys_at(RateCardModel, item["loc"][:-1])))
        return None


def rate_card_text(card: RateCard) -> str:
    """Return the document of a card; read again it is the same card."""
    return str(yaml.safe_dump(_content(card), sort_keys=False, allow_unicode=True))


def card_mark(cards: Iterable[RateCard]) -> str:
    """Return a mark of what some cards say, 64 characters long: the same in any process, another one as soon as a card says anything else."""
    said = [[card.version, _content(card)] for card in cards]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _content(card: RateCard) -> dict[str, Any]:
    required = {
        "effective_from": isoformat(card.effective_from),
        "currency": card.currency,
        "cpu_only_hour": _text(card.cpu_only_hour),
        "gpu_hour": _texts(card.gpu_hour),
    }
    optional: dict[str, Any] = {
        "idle_gpu_hour": _texts(card.idle_gpu_hour),
        **{name: _text(price) if (price := getattr(card, name)) else None for name in ("cpu_core_hour", "memory_gib_hour", "storage_gib_month")},
        "off_peak": _off_peak(card.off_peak) if card.off_peak else None,
        "tier_discount_percent": _texts(card.tier_discount_percent),
        "project_discount_percent": _texts(card.project_discount_percent),
        "unallocated": _unallocated(card.unallocated) if card.unallocated != Unallocated() else None,
    }
    said = {key: value for key, value in optional.items() if value}
    return {**required, **said}


def _texts(numbers: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: _text(number) for name, number in numbers.items()}


def _text(number: Decimal) -> str:
    return format(number, "f")


def _off_peak(off_peak: OffPeak) -> dict[str, Any]:
    windows = [
        {"weekdays": [WEEKDAYS[day - 1] for day in sorted(each.weekdays)], "start": f"{each.start:%H:%M}", "end": f"{each.end:%H:%M}"}
        for each in off_peak.windows
    ]
    return {"time_zone": off_peak.time_zone, "discount_percent": _text(off_peak.discount_percent), "windows": windows}


def _unallocated(rule: Unallocated) -> dict[str, Any]:
    said = {"gpu_hour": _texts(rule.gpu_hour), "cost_centres": list(rule.cost_centres)}
    return {"share": rule.share.value, **{key: value for key, value in said.items() if value}}
