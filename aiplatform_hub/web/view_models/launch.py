"""The Launch page: environment templates as cards, GPU counts as chips, the price in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiplatform_hub.domain.catalog import Catalog, EnvironmentTemplate, NodePool, Project
from aiplatform_hub.domain.classes import ClassEnd
from aiplatform_hub.domain.contents import Package
from aiplatform_hub.domain.options import MAX_HOURS
from aiplatform_hub.domain.wait_words import Chance, fewer_gpus_advice, how_long
from aiplatform_hub.web.launch_form import Choices, types_of
from aiplatform_hub.web.view_models.formats import Stamp, count, stamp
from aiplatform_hub.web.view_models.labels import class_words, gpu_label
from aiplatform_hub.web.view_models.launch_chips import Chip, Quote, before_you, chips_of, range_words, waits, when_ready
from aiplatform_hub.web.view_models.launch_terms import TermsLine, price_sentence, terms_line
from aiplatform_hub.web.view_models.problem import Problem

if TYPE_CHECKING:
    from aiplatform_hub.domain.quota import Decision

BY_ITSELF = "Starts by itself when its turn comes; you may close this page."
"""What is promised to who joins the queue."""

REFUSED_IF_FULL = "Not free now, and you chose not to wait: it would be refused."
"""What becomes of what would join the queue if it might."""


@dataclass(frozen=True, slots=True)
class TemplateCard:
    """An environment template to choose."""

    name: str
    title: str
    description: str
    needs: str
    is_chosen: bool
    logo: str
    inside: tuple[str, ...] = ()
    """What it has, with versions, such as ``torch 2.13.0``."""
    unavailable_reason: str = ""
    """Why it cannot be started and what would help; empty when it can."""


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
    terms: TermsLine
    """Cost, latest end and idle rule."""
    verdict: str
    """What happens when this choice is started now, in one sentence."""
    tone: str
    if_full: tuple[Option, ...] = ()
    """What to do where it would have to wait."""
    promise: str = ""
    """What happens after a try that would join the queue."""
    ends: Stamp | None = None
    """When it would have to make room for a class."""
    ends_because: str = ""
    """For which class."""
    budgets: tuple[str, ...] = ()
    """What a start would leave of each budget that pays for it, as sentences."""
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
    inside: Mapping[str, tuple[Package, ...]] = field(default_factory=dict)
    """What each environment template has, by its name."""


def launch_form(choices: Choices, offer: Offer, quote: Quote, problem: Problem | None = None) -> LaunchForm:
    """Return the form for the choices made so far."""
    catalog = offer.catalog
    template = catalog.environment_templates[choices.environment_template]
    cards = [_card(t, choices, offer) for t in catalog.environment_templates.values()]
    decision = quote.decisions.get(choices.gpus)
    verdict, tone = _verdict(choices, quote, offer.unavailable.get(template.name, ""), catalog.node_pools)
    is_waiting, end = waits(decision) and tone == "queue", quote.ends.get(choices.gpus)
    cost = price_sentence(quote.per_hour, quote.currency, choices.max_hours)
    starts_at = quote.now if decision is not None and decision.is_admitted else None
    return LaunchForm(
        templates=tuple(sorted(cards, key=lambda card: bool(card.unavailable_reason))),
        chips=chips_of(choices.gpus, template, quote, catalog.node_pools),
        gpu_types=tuple(Option(name, gpu_label(catalog, name) or name, name == choices.gpu_type) for name in types_of(template, offer.gpu_types)),
        projects=tuple(Option(p.name, p.display_name, p.name == choices.project) for p in offer.projects),
        numbers=_numbers(choices, template),
        server_name=choices.server_name,
        suggested_name=template.name,
        terms=terms_line(cost, quote.terms, starts_at=starts_at, max_hours=choices.max_hours, has_end=end is not None),
        verdict=verdict,
        tone=tone,
        if_full=(Option("queue", "Wait in the queue", choices.may_wait), Option("fail", "Do not start", not choices.may_wait)),
        promise=BY_ITSELF if is_waiting else "",
        ends=stamp(end.at) if end else None,
        ends_because=class_words(end, catalog) if end else "",
        every_end=_every_end(quote.ends, catalog),
        button="Join the queue" if is_waiting else "Start",
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


def _card(template: EnvironmentTemplate, choices: Choices, offer: Offer) -> TemplateCard:
    reason = offer.unavailable.get(template.name, "")
    return TemplateCard(
        name=template.name,
        title=template.display_name,
        description=template.description,
        needs=f"{range_words(template.gpus, 'GPU')}, {template.memory_gib.default} GiB, {count(template.cpu_cores.default, 'core')}",
        is_chosen=template.name == choices.environment_template and not reason,
        logo=template.logo,
        inside=tuple(f"{each.name} {each.version}" if each.version else each.name for each in offer.inside.get(template.name, ())),
        unavailable_reason=reason,
    )


def _verdict(choices: Choices, quote: Quote, unavailable_reason: str, node_pools: Mapping[str, NodePool]) -> tuple[str, str]:
    decision = quote.decisions.get(choices.gpus)
    if unavailable_reason:
        return unavailable_reason, "warn"
    if decision is None:
        return "", ""
    if waits(decision):
        return _queue_verdict(choices, quote)
    if decision.node_pool is not None:
        return f"It starts on a new node{when_ready(decision.node_pool, node_pools)}.", "good"
    if decision.error_code is None:
        return ("It starts at once." if choices.gpus == 0 else "Free now: it starts at once."), "good"
    return "It would be refused right now.", "warn"


def _queue_verdict(choices: Choices, quote: Quote) -> tuple[str, str]:
    if not choices.may_wait:
        return REFUSED_IF_FULL, "warn"
    before = quote.before.get(choices.gpus)
    if before is None:
        return "It waits until your limit has room.", "queue"
    where = f"{before_you(before)} before you." if before else "You would be next in line."
    return " ".join(words for words in (where, how_long(quote.waits.get(choices.gpus)), quicker(choices, quote)) if words), "queue"


def quicker(choices: Choices, quote: Quote) -> str:
    """Return with which GPU count it would be quicker; empty if with none."""
    fewer = {number: Chance(d.is_admitted, quote.waits.get(number)) for number, d in quote.decisions.items() if 0 < number < choices.gpus}
    return fewer_gpus_advice(fewer, quote.waits.get(choices.gpus))


def _warning(decision: Decision | None) -> Problem | None:
    if decision is None or not (decision.error_code or waits(decision)):
        return None
    lines = tuple(dict.fromkeys(r.message for r in decision.reasons))
    remedies = tuple(dict.fromkeys(remedy for r in decision.reasons for remedy in r.advice(is_waiting=waits(decision))))
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
