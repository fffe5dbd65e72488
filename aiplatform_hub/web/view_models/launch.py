"""The Launch page: environment templates as cards, GPU counts as chips, the price in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from aiplatform_hub.domain.catalog import Catalog, EnvironmentTemplate, NodePool, Project, Range
from aiplatform_hub.domain.classes import ClassEnd
from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.options import MAX_HOURS
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.domain.wait_words import Chance, about, fewer_gpus_advice, how_long
from aiplatform_hub.errors import AIPlatformError, Reason
from aiplatform_hub.web.launch_form import Choices, types_of
from aiplatform_hub.web.view_models.formats import Stamp, amount, count, in_minutes, money, price, stamp
from aiplatform_hub.web.view_models.labels import class_words, gpu_label

if TYPE_CHECKING:
    from aiplatform_hub.domain.quota import Decision

NO_POOLS: Mapping[str, NodePool] = {}

BY_ITSELF = "Starts by itself when its turn comes; you may close this page."
"""What is promised to who joins the queue."""

GPU_CHIPS = range(5)
"""The counts that have a chip; a template with more adds its own."""


@dataclass(frozen=True, slots=True)
class TemplateCard:
    """An environment template to choose."""

    name: str
    title: str
    description: str
    needs: str
    is_chosen: bool
    unavailable_reason: str = ""
    """Why it cannot be started and what would help; empty when it can."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A GPU count to choose, with what would happen now."""

    value: int
    title: str
    note: str
    tone: str
    is_chosen: bool
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Option:
    """An entry of a list to choose from."""

    value: str
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class NumberField:
    """A whole number with its range."""

    name: str
    label: str
    value: str
    minimum: int
    maximum: int
    help: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal for a page: the sentence, its reasons and what to do."""

    title: str
    detail: str
    lines: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    """Sentence by the field it is about."""


@dataclass(frozen=True, slots=True)
class EndLine:
    """GPU counts with which a session would have to make room for a class."""

    counts: str
    at: Stamp | None
    because: str


@dataclass(frozen=True, slots=True)
class LaunchForm:
    """Everything that the Launch page and the hub's spawn page offer."""

    templates: tuple[TemplateCard, ...]
    chips: tuple[Chip, ...]
    gpu_types: tuple[Option, ...]
    projects: tuple[Option, ...]
    numbers: tuple[NumberField, ...]
    server_name: str
    suggested_name: str
    price: str
    verdict: str
    """What happens when this choice is started now, in one sentence."""
    tone: str
    promise: str = ""
    """What happens after a try that would join the queue."""
    ends: Stamp | None = None
    """When it would have to make room for a class."""
    ends_because: str = ""
    """For which class."""
    every_end: tuple[EndLine, ...] = ()
    """The same for all GPU counts, where none is chosen yet."""
    button: str = "Start"
    problem: Problem | None = None
    """Why the last try was refused."""
    warning: Problem | None = None
    """Why a try now would be refused, or would have to wait."""

    @property
    def is_advanced_open(self) -> bool:
        """Whether the folded part is shown: a fault is in it, or a name was given."""
        folded = {"server_name", *(number.name for number in self.numbers)}
        return bool(self.server_name or (self.problem and folded & set(self.problem.fields)))


def problem_of(error: AIPlatformError) -> Problem:
    """Return a refusal as a page shows it."""
    return Problem(
        title=error.title,
        detail=error.message,
        lines=tuple(dict.fromkeys(r.message for r in error.reasons if r.message and r.message != error.message and r.message not in error.message)),
        remedies=tuple(dict.fromkeys(remedy for r in error.reasons for remedy in r.remedies)),
        fields={r.field: r.message for r in error.reasons if r.field},
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """What a person can choose from."""

    catalog: Catalog
    projects: tuple[Project, ...]
    """What they may charge."""
    gpu_types: tuple[str, ...]
    """Types that exist here, in order."""
    unavailable: Mapping[str, str]
    """Reason by name of the environment templates that cannot be started."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What would happen now, and what it would cost."""

    decisions: Mapping[int, Decision]
    """Dry run by GPU count, for the other choices as they are."""
    per_hour: Decimal | None = None
    currency: str | None = None
    before: Mapping[int, int] = field(default_factory=dict)
    """How many in the queue would come first, by GPU count, where that is known."""
    ends: Mapping[int, ClassEnd] = field(default_factory=dict)
    """When it would have to make room for a class, by GPU count, where it would."""
    waits: Mapping[int, WaitEstimate] = field(default_factory=dict)
    """How long it would wait, by GPU count, where that is known."""


def launch_form(choices: Choices, offer: Offer, quote: Quote, problem: Problem | None = None) -> LaunchForm:
    """Return the form for the choices made so far."""
    catalog = offer.catalog
    template = catalog.environment_templates[choices.environment_template]
    cards = [_card(t, choices, offer.unavailable.get(t.name, "")) for t in catalog.environment_templates.values()]
    decision = quote.decisions.get(choices.gpus)
    verdict, tone = _verdict(choices, quote, offer.unavailable.get(template.name, ""), catalog.node_pools)
    waits, end = _waits(decision) and tone == "queue", quote.ends.get(choices.gpus)
    return LaunchForm(
        templates=tuple(sorted(cards, key=lambda card: bool(card.unavailable_reason))),
        chips=_chips(choices, template, quote, catalog.node_pools),
        gpu_types=tuple(Option(name, gpu_label(catalog, name) or name, name == choices.gpu_type) for name in types_of(template, offer.gpu_types)),
        projects=tuple(Option(p.name, p.display_name, p.name == choices.project) for p in offer.projects),
        numbers=_numbers(choices, template),
        server_name=choices.server_name,
        suggested_name=template.name,
        price=price_sentence(quote.per_hour, quote.currency, choices.max_hours),
        verdict=verdict,
        tone=tone,
        promise=BY_ITSELF if waits else "",
        ends=stamp(end.at) if end else None,
        ends_because=class_words(end, catalog) if end else "",
        every_end=_every_end(quote.ends, catalog),
        button="Join the queue" if waits else "Start",
        problem=problem,
        warning=_warning(decision),
    )


def _every_end(ends: Mapping[int, ClassEnd], catalog: Catalog) -> tuple[EndLine, ...]:
    by_end: dict[ClassEnd, list[int]] = {}
    for number in sorted(ends):
        by_end.setdefault(ends[number], []).append(number)
    return tuple(EndLine(_counts(numbers), stamp(end.at), class_words(end, catalog)) for end, numbers in by_end.items())


def _counts(numbers: Sequence[int]) -> str:
    """Return GPU counts in words, for example ``1, 2 or 3 GPUs``."""
    *first, last = (str(number) for number in numbers)
    return f"{', '.join(first)} or {last} GPUs" if first else count(numbers[0], "GPU")


def price_sentence(per_hour: Decimal | None, currency: str | None, max_hours: int | None) -> str:
    """Return the price per hour and, where a length is planned, for all of it."""
    sentence = price(per_hour, currency)
    if per_hour and max_hours:
        sentence += f", {money(per_hour * max_hours, currency)} for {count(max_hours, 'hour')}"
    return sentence[0].upper() + sentence[1:] + "."


def _card(template: EnvironmentTemplate, choices: Choices, reason: str) -> TemplateCard:
    return TemplateCard(
        name=template.name,
        title=template.display_name,
        description=template.description,
        needs=f"{_range(template.gpus, 'GPU')}, {template.memory_gib.default} GiB, {count(template.cpu_cores.default, 'core')}",
        is_chosen=template.name == choices.environment_template and not reason,
        unavailable_reason=reason,
    )


def _range(numbers: Range, one: str) -> str:
    if numbers.minimum == numbers.maximum:
        return "No GPU" if numbers.maximum == 0 else count(numbers.maximum, one)
    return f"{numbers.minimum} to {numbers.maximum} {one}s"


def _chips(choices: Choices, template: EnvironmentTemplate, quote: Quote, node_pools: Mapping[str, NodePool]) -> tuple[Chip, ...]:
    numbers = sorted({*GPU_CHIPS, *range(template.gpus.minimum, template.gpus.maximum + 1)})
    return tuple(_chip(number, choices, template, quote, node_pools) for number in numbers)


def _chip(number: int, choices: Choices, template: EnvironmentTemplate, quote: Quote, node_pools: Mapping[str, NodePool]) -> Chip:
    decision = quote.decisions.get(number)
    title = "No GPU" if number == 0 else count(number, "GPU")
    if not template.gpus.minimum <= number <= template.gpus.maximum:
        takes = _range(template.gpus, "GPU")
        return Chip(
            number,
            title,
            f"{template.display_name} takes {takes[0].lower() + takes[1:] if takes == 'No GPU' else takes}",
            "",
            is_chosen=False,
            is_enabled=False,
        )
    if decision is not None and decision.impossible_because:
        return Chip(number, title, decision.impossible_because, "", is_chosen=False, is_enabled=False)
    note, tone = chip_note(number, decision, node_pools, quote.before.get(number), quote.waits.get(number))
    return Chip(number, title, note, tone, is_chosen=number == choices.gpus)


def chip_note(
    number: int, decision: Decision | None, node_pools: Mapping[str, NodePool] = NO_POOLS, before: int | None = None, wait: WaitEstimate | None = None
) -> tuple[str, str]:
    """Return what a dry run says about a GPU count, in a few words, and its tone."""
    if decision is None:
        return "", ""
    if _waits(decision):
        return f"queue, {about(wait) if wait else _queue_note(decision, before)}", "queue"
    if decision.node_pool is not None:
        return f"on a new node{_when(decision.node_pool, node_pools)}", "good"
    if not decision.reasons and decision.error_code is None:
        return ("free now" if number else "starts now"), "good"
    reason = decision.reasons[0] if decision.reasons else Reason(decision.error_code or "", "not possible now")
    return _short(decision.error_code or reason.code, reason), "warn"


def _waits(decision: Decision | None) -> bool:
    """Return whether it would join the queue."""
    return decision is not None and decision.outcome == "queue"


def _queue_note(decision: Decision, before: int | None) -> str:
    """Return how many come first; where the queue has no say, what it waits for."""
    if before is not None:
        return f"{_before(before)} before you" if before else "next in line"
    reason = next((r for r in decision.reasons if r.code == "quota_in_use"), decision.reasons[0])
    return _short(reason.code, reason)


def _before(number: int) -> str:
    return "1 waits" if number == 1 else f"{number} wait"


def _short(code: str, reason: Reason) -> str:
    if reason.dimension is None or reason.limit is None:
        return reason.message
    what = "" if reason.dimension == "gpus" else f" {DIMENSIONS[reason.dimension].label.lower()}"
    limit = amount(reason.dimension, Decimal(reason.limit))
    used = amount(reason.dimension, Decimal(reason.used or 0))
    holders = f": {', '.join(reason.held_by)}" if reason.held_by else ""
    if code == "quota_exceeded" and reason.scope == "machine" and what:
        return reason.message
    if code == "quota_exceeded":
        return f"over your limit: {limit}{what}"
    if code == "quota_in_use":
        return f"{used} of {limit}{what} in use{holders}"
    return f"not free now: {used} of {limit}{what} in use"


def _when(node_pool: str, node_pools: Mapping[str, NodePool]) -> str:
    """Return when a node of a pool would be there."""
    return f", {in_minutes(node_pools[node_pool].minutes_to_start)}" if node_pool in node_pools else ""


def _verdict(choices: Choices, quote: Quote, unavailable_reason: str, node_pools: Mapping[str, NodePool]) -> tuple[str, str]:
    decision = quote.decisions.get(choices.gpus)
    if unavailable_reason:
        return unavailable_reason, "warn"
    if decision is None:
        return "", ""
    if _waits(decision):
        return _queue_verdict(quote.before.get(choices.gpus), quote.waits.get(choices.gpus), quicker(choices, quote)), "queue"
    if decision.node_pool is not None:
        return f"It starts on a new node{_when(decision.node_pool, node_pools)}.", "good"
    if decision.error_code is None:
        return ("It starts at once." if choices.gpus == 0 else "Free now: it starts at once."), "good"
    return "It would be refused right now.", "warn"


def _queue_verdict(before: int | None, wait: WaitEstimate | None, advice: str) -> str:
    if before is None:
        return "It waits until your limit has room."
    where = f"{_before(before)} before you." if before else "You would be next in line."
    return " ".join(words for words in (where, how_long(wait), advice) if words)


def quicker(choices: Choices, quote: Quote) -> str:
    """Return with which GPU count it would be quicker; empty if with none."""
    fewer = {number: Chance(d.is_admitted, quote.waits.get(number)) for number, d in quote.decisions.items() if 0 < number < choices.gpus}
    return fewer_gpus_advice(fewer, quote.waits.get(choices.gpus))


def _warning(decision: Decision | None) -> Problem | None:
    if decision is None or not (decision.error_code or _waits(decision)):
        return None
    lines = tuple(dict.fromkeys(r.message for r in decision.reasons))
    remedies = tuple(dict.fromkeys(remedy for r in decision.reasons for remedy in r.advice(is_waiting=_waits(decision))))
    return Problem(title="", detail=" ".join(lines), remedies=remedies)


def _numbers(choices: Choices, template: EnvironmentTemplate) -> tuple[NumberField, ...]:
    memory, cores = template.memory_gib, template.cpu_cores
    return (
        NumberField("memory_gib", "Memory in GiB", str(choices.memory_gib), memory.minimum, memory.maximum, f"{memory.minimum} to {memory.maximum}"),
        NumberField("cpu_cores", "CPU cores", str(choices.cpu_cores), cores.minimum, cores.maximum, f"{cores.minimum} to {cores.maximum}"),
        NumberField(
            "max_hours", "Planned hours", str(choices.max_hours or ""), MAX_HOURS.minimum, MAX_HOURS.maximum, "Only for the estimate; nothing stops by itself"
        ),
    )
