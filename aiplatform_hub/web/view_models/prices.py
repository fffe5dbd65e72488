"""Admin, Prices: every rate card with when it holds, what it costs, and what a session costs under it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from aiplatform_hub.domain.catalog import ANY_GPU_TYPE, Catalog, RateCard, Share
from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.off_peak import OffPeak, Window
from aiplatform_hub.domain.rate_cards import CardInForce, RecordedCard
from aiplatform_hub.domain.sample_prices import SamplePrice
from aiplatform_hub.web.view_models.formats import Stamp, count, gpus, price, stamp
from aiplatform_hub.web.view_models.labels import gpu_label, template_label, tier_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OTHERS = (("cpu_only_hour", "Environment without GPUs"), ("cpu_core_hour", "CPU core"), ("memory_gib_hour", "GiB of memory"))


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What one unit costs."""

    what: str
    price: str


@dataclass(frozen=True, slots=True)
class SampleRow:
    """What an hour of an environment costs."""

    title: str
    uses: str
    price: str
    off_peak: str


@dataclass(frozen=True, slots=True)
class PriceCard:
    """One rate card."""

    version: str
    state: str
    tone: str
    start: Stamp | None
    end: Stamp | None
    by: str
    reason: str
    recorded: Stamp | None
    currency: str
    prices: tuple[PriceRow, ...]
    notes: tuple[str, ...]
    """Off-peak hours and discounts, in sentences."""
    samples: tuple[SampleRow, ...]
    can_change: bool
    is_folded: bool
    """Whether it is over or withdrawn: then it is shown on demand."""


@dataclass(frozen=True, slots=True)
class PricesPage:
    """What Prices shows."""

    cards: tuple[PriceCard, ...]
    version: str
    document: str
    reason: str
    changing: str
    """The version that the form changes; empty where it adds one."""
    preview: PriceCard | None
    problem: Problem | None
    done: str
    paths: Paths = field(default_factory=lambda: Paths("/"))

    @property
    def action(self) -> str:
        """Where the form is sent."""
        return f"{self.paths.platform}admin/prices"

    def fault(self, name: str) -> str:
        """Return what is wrong with one field."""
        return self.problem.fields.get(name, "") if self.problem else ""


def prices_page(  # noqa: PLR0913  keyword-only
    cards: Sequence[PriceCard], fields: Mapping[str, str], *, document: str, paths: Paths, preview: PriceCard | None = None, problem: Problem | None = None
) -> PricesPage:
    """Return the page with what was typed so far, which a refusal keeps.

    Parameters
    ----------
    document
        What the form begins with.
    """
    changing = fields.get("changing", "") or fields.get("change", "")
    return PricesPage(
        cards=tuple(cards),
        version=changing or fields.get("version", ""),
        document=fields.get("document", document),
        reason=fields.get("reason", ""),
        changing=changing,
        preview=preview,
        problem=problem,
        done=_done(cards, fields.get("done", "")),
        paths=paths,
    )


def _done(cards: Sequence[PriceCard], version: str) -> str:
    found = next((card for card in cards if card.version == version), None)
    if found is None:
        return ""
    return (
        f"The rate card {version} is withdrawn." if found.state == "Withdrawn" else f"The rate card {version} is recorded. Until it begins it can be changed."
    )


def price_card(each: CardInForce, samples: Sequence[SamplePrice], catalog: Catalog, now: datetime) -> PriceCard:
    """Return one card, worded."""
    recorded, card = each.recorded, each.recorded.card
    state, tone = _state(each, now)
    return PriceCard(
        version=card.version,
        state=state,
        tone=tone,
        start=stamp(card.effective_from),
        end=stamp(each.until),
        by=recorded.recorded_by or "the catalogue's files",
        reason=recorded.reason if recorded.recorded_by else "",
        recorded=stamp(recorded.recorded_at),
        currency=card.currency,
        prices=tuple(_prices(card, catalog)),
        notes=tuple(_notes(card, catalog)),
        samples=tuple(_sample(sample, card.currency, catalog) for sample in samples),
        can_change=recorded.is_open(now) and recorded.recorded_by is not None,
        is_folded=state in {"Over", "Withdrawn"},
    )


def preview_card(card: RateCard, samples: Sequence[SamplePrice], catalog: Catalog, now: datetime) -> PriceCard:
    """Return a card that nobody has recorded yet, worded."""
    return price_card(CardInForce(RecordedCard(0, card, now, "", ""), None), samples, catalog, now)


def _state(each: CardInForce, now: datetime) -> tuple[str, str]:
    if not each.recorded.stands:
        return "Withdrawn", ""
    if each.recorded.card.effective_from > now:
        return "To come", "warn"
    return ("Over", "") if each.until is not None and each.until <= now else ("In force", "good")


def _prices(card: RateCard, catalog: Catalog) -> Iterator[PriceRow]:
    for name, amount in card.gpu_hour.items():
        yield PriceRow(_gpu(name, catalog), price(amount, card.currency))
    for name, amount in card.idle_gpu_hour.items():
        yield PriceRow(f"{_gpu(name, catalog)}, idle", price(amount, card.currency))
    for name, label in _OTHERS:
        if getattr(card, name):
            yield PriceRow(label, price(getattr(card, name), card.currency))
    if card.storage_gib_month:
        yield PriceRow("GiB of storage", price(card.storage_gib_month, card.currency).replace("per hour", "per month"))


def _gpu(name: str, catalog: Catalog) -> str:
    return "Every other GPU" if name == ANY_GPU_TYPE else gpu_label(catalog, name) or name


def _notes(card: RateCard, catalog: Catalog) -> Iterator[str]:
    if card.off_peak:
        yield off_peak_words(card.off_peak)
    for name, percent in card.tier_discount_percent.items():
        yield f"{_percent(percent)} less for people of the tier {tier_label(catalog, name)}."
    for name, percent in card.project_discount_percent.items():
        project = catalog.projects.get(name)
        yield f"{_percent(percent)} less for the project {project.display_name if project else name}."
    yield from _unallocated_notes(card, catalog)


def _unallocated_notes(card: RateCard, catalog: Catalog) -> Iterator[str]:
    """Yield who pays for GPUs that nobody held, and how much."""
    rule = card.unallocated
    if rule.share is Share.NONE:
        return
    names = ", ".join(catalog.cost_centres[name].display_name if name in catalog.cost_centres else name for name in rule.cost_centres)
    among = f"evenly among {names}" if names else "evenly among the cost centres" if rule.share is Share.EVENLY else "as each used"
    yield f"GPUs that nobody held are shared {among}."
    for name, amount in rule.gpu_hour.items():
        yield f"{_gpu(name, catalog)} that nobody held: {price(amount, card.currency)}."


def off_peak_words(off_peak: OffPeak) -> str:
    """Return when sessions cost less, in a sentence."""
    windows = ", and ".join(_window(window) for window in off_peak.windows)
    return f"{_percent(off_peak.discount_percent)} less {windows}, by the clocks of {off_peak.time_zone.replace('_', ' ')}."


def _window(window: Window) -> str:
    next_day = " on the next day" if window.end <= window.start else ""
    return f"{_days(sorted(window.weekdays))} from {window.start:%H:%M} to {window.end:%H:%M}{next_day}"


def _days(days: Sequence[int]) -> str:
    """Return ISO weekdays in words: spans of three or more as one."""
    if len(days) == len(_DAYS):
        return "every day"
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    names = [_DAYS[run[0] - 1] if len(run) == 1 else f"{_DAYS[run[0] - 1]}–{_DAYS[run[-1] - 1]}" for run in runs]
    return "on " + ", ".join(names)


def _percent(percent: Decimal) -> str:
    return f"{percent.normalize():f} %"


def _sample(sample: SamplePrice, currency: str, catalog: Catalog) -> SampleRow:
    uses = (gpus(sample.gpus, gpu_label(catalog, sample.gpu_type)), count(sample.cpu_cores, "core"), f"{sample.memory_gib} GiB")
    off_peak = "–" if sample.off_peak_per_hour is None else price(sample.off_peak_per_hour, currency)
    return SampleRow(template_label(catalog, sample.environment_template), ", ".join(uses), price(sample.per_hour, currency), off_peak)


def charged_what(sku: Sku, units: int, type_label: str | None, *, is_off_peak: bool) -> str:
    """Return what a charge is for, for example ``2 × NVIDIA H100, idle, off-peak``."""
    words = {
        Sku.CPU_CORE_HOUR: count(units, "CPU core"),
        Sku.MEMORY_GIB_HOUR: f"{units} GiB of memory",
        Sku.STORAGE_GIB_MONTH: f"{units} GiB of storage",
        Sku.CPU_ONLY_HOUR: gpus(0, None),
        Sku.CREDIT: "Paid by a credit",
        Sku.IDLE_GPU_HOUR: f"{gpus(units, type_label)}, idle",
    }
    return words.get(sku, gpus(units, type_label)) + (", off-peak" if is_off_peak else "")
