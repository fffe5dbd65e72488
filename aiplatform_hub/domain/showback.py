"""Showback: once a month project leads are told what their projects used, and how well. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.catalog import Project
from aiplatform_hub.domain.charge_sums import Charged
from aiplatform_hub.domain.charges import GPU_SKUS, MICROSECONDS_PER_HOUR, Sku
from aiplatform_hub.domain.notices import Sentence, Words
from aiplatform_hub.domain.rounding import rounded

LAST_DAY = 20
"""Day of the next month until which leads are told: later than that, nobody asks any more, and old notices may be deleted."""
PATIENCE = timedelta(days=3)
"""How long a month waits for sessions that began in it and still run."""
MOST_SESSIONS = 3
"""So many sessions are named."""


@dataclass(frozen=True, slots=True)
class IdleSession:
    """A session, and for how long its GPUs were idle."""

    allocation_id: UUID
    user_name: str
    idle_gpu_microseconds: int


@dataclass(frozen=True, slots=True)
class ProjectUse:
    """What one project used in a month."""

    title: str
    """Name of the project, as people see it."""
    costs: tuple[tuple[str, Fraction], ...]
    """What it is charged, by currency."""
    held_gpu_microseconds: int
    used_gpu_microseconds: int
    """What is known of it to have been used."""
    idle_gpu_microseconds: int
    """What is known of it to have been idle."""
    sessions: tuple[IdleSession, ...]
    """Those that were idle most, the worst first."""

    @property
    def busy_percent(self) -> int | None:
        """Which part of the time that is known the GPUs were used; None where nothing is known."""
        known = self.used_gpu_microseconds + self.idle_gpu_microseconds
        return None if known <= 0 else round(Fraction(100 * self.used_gpu_microseconds, known))


class _Sum:
    def __init__(self) -> None:
        self.costs: dict[str, Fraction] = defaultdict(Fraction)
        self.held = 0
        self.idle = 0

    def add(self, charge: Charged) -> None:
        self.costs[charge.currency] += Fraction(charge.unit_microseconds, charge.period_microseconds) * Fraction(charge.price)
        if charge.sku in GPU_SKUS:
            self.held += charge.unit_microseconds
        if charge.sku is Sku.IDLE_GPU_HOUR:
            self.idle += charge.unit_microseconds


def project_uses(
    charges: Iterable[Charged], used: Mapping[str, int], idle: Mapping[str, Sequence[IdleSession]], projects: Mapping[str, Project]
) -> dict[str, ProjectUse]:
    """Return what each project used that was charged something.

    Parameters
    ----------
    charges
        With used and idle time apart, as :func:`aiplatform_hub.domain.chargeback.with_idle_prices` gives them, or sums of them.
    used
        GPU-microseconds that are known to have been used, by project.
    idle
        Sessions whose GPUs were idle, by project, in any order.
    """
    sums: dict[str, _Sum] = defaultdict(_Sum)
    for charge in charges:
        sums[charge.project].add(charge)
    return {name: _use(one, used.get(name, 0), idle.get(name, ()), projects[name].display_name if name in projects else name) for name, one in sums.items()}


def _use(one: _Sum, used: int, idle: Sequence[IdleSession], title: str) -> ProjectUse:
    found = [each for each in idle if each.idle_gpu_microseconds > 0]
    worst = sorted(found, key=lambda each: (-each.idle_gpu_microseconds, str(each.allocation_id)))[:MOST_SESSIONS]
    return ProjectUse(title, tuple(sorted(one.costs.items())), one.held, min(used, one.held - one.idle), one.idle, tuple(worst))


def leads_of(projects: Mapping[str, Project]) -> dict[str, tuple[str, ...]]:
    """Return who is told of which projects."""
    found: dict[str, list[str]] = defaultdict(list)
    for project in projects.values():
        for lead in project.leads:
            found[lead].append(project.name)
    return {lead: tuple(names) for lead, names in found.items()}


def showback_key(month: str, lead: str) -> str:
    """Return what keeps a lead from being told of a month twice."""
    return f"showback:{month}:{sha256(lead.encode()).hexdigest()[:32]}"  # names may be longer than a key


def showback_detail(start: datetime, uses: Sequence[ProjectUse], *, is_complete: bool) -> dict[str, Any]:
    """Return the detail of a notice, as JSON: numbers as they are now, so that it reads the same later."""
    projects = [
        {
            "title": use.title,
            "costs": [[currency, f"{rounded(cost, 2):f}"] for currency, cost in use.costs],
            "gpu_hours": _hours(use.held_gpu_microseconds),
            "idle_gpu_hours": _hours(use.idle_gpu_microseconds),
            "busy_percent": use.busy_percent,
            "sessions": [[str(each.allocation_id)[:8], each.user_name, _hours(each.idle_gpu_microseconds)] for each in use.sessions],
        }
        for use in uses
    ]
    return {"month": f"{start:%Y-%m-%d}", "is_complete": is_complete, "projects": projects}


def showback_words(detail: Mapping[str, Any]) -> Words:
    """Return a lead's month in words."""
    projects = detail["projects"]
    what = projects[0]["title"] if len(projects) == 1 else "your projects"
    sentences = [sentence for project in projects for sentence in _sentences(project)]
    if not detail["is_complete"]:
        sentences.append(("Some sessions that began in that month still run, so it may become more.",))
    sentences.append(("To get this no more, turn it off in Settings, or run: aiplatform showback off",))
    return Words(f"{date.fromisoformat(detail['month']):%B %Y}: what {what} used", tuple(sentences))


def _sentences(project: Mapping[str, Any]) -> Iterable[Sentence]:
    costs = " and ".join(f"{Decimal(cost):,} {currency}" for currency, cost in project["costs"])
    yield (f"{project['title']} cost {costs}.",)
    if Decimal(project["gpu_hours"]) == 0:
        yield ("It held no GPUs.",)
        return
    busy = project["busy_percent"]
    known = "whether they were busy is not known" if busy is None else f"as far as it is known, they were busy {busy} % of the time"
    yield (f"Its sessions held GPUs for {project['gpu_hours']} GPU-hours, {project['idle_gpu_hours']} of them idle; {known}.",)
    if project["sessions"]:
        yield ("Idle longest: " + "; ".join(f"{word} of {user}, {hours} GPU-hours" for word, user, hours in project["sessions"]) + ".",)


def _hours(microseconds: int) -> str:
    return f"{rounded(Fraction(microseconds, MICROSECONDS_PER_HOUR), 1):f}"
