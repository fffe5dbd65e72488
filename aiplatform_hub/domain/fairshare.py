"""Who is entitled before whom: Slurm's Fair Tree over projects, then their people, on decayed GPU-seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aiplatform_hub.domain.policy import Policy


class Person(NamedTuple):
    """Somebody in one of their projects; a tuple, because thousands of them are looked up at each look at the queue."""

    project: str
    user: str


@dataclass(frozen=True, slots=True)
class DecayedUsage:
    """What a person used, where past use loses half its weight in each half-life; kept up with a constant number of steps."""

    gpu_seconds: float = 0.0
    """Weighted and decayed GPU-seconds at ``at_seconds``."""
    at_seconds: float = 0.0
    rate: float = 0.0
    """Weighted GPUs that the person holds from then on."""

    def at(self, now_seconds: float, half_life_seconds: float) -> float:
        """Return the weighted and decayed GPU-seconds at a time not before ``at_seconds``."""
        left = math.exp2(-max(0.0, now_seconds - self.at_seconds) / half_life_seconds)
        return self.gpu_seconds * left + self.rate * half_life_seconds / math.log(2) * (1 - left)

    def changed(self, now_seconds: float, gpus: float, half_life_seconds: float) -> DecayedUsage:
        """Return the counter from a time on at which the person holds so many weighted GPUs more, or fewer if negative."""
        return DecayedUsage(self.at(now_seconds, half_life_seconds), now_seconds, max(0.0, self.rate + gpus))


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A person's place in the Fair Tree."""

    rank: int
    """0 is first; equal for those who tie."""
    project_level: float
    """Share of the project among the projects, by its share of their use; infinite without use, more is better."""
    user_level: float
    """The same of the person among the people of the project."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one person comes before another: who is ahead at their first common ancestor in the tree."""

    ancestor: str
    """The project within which the two are compared; empty where their projects are, and where people of projects that tie are."""
    ahead: str
    """A project or a user; empty if they tie and the submit time decides."""
    ahead_level: float
    behind: str
    behind_level: float


def weighted_gpus(gpus: float, gpu_type: str | None, policy: Policy) -> float:
    """Return what GPUs of a type count in the shares."""
    return gpus * policy.gpu_type_weights.get(gpu_type or "", 1.0)


def entitlements(usage: Mapping[Person, float], policy: Policy) -> dict[Person, Entitlement]:
    """Return the place of each person.

    Projects are ordered by level fairshare, their normalized share by their normalized decayed use, then the people of
    each project in the same way. Projects that tie are merged: their people are ordered as if they were siblings.

    Parameters
    ----------
    usage
        Weighted, decayed GPU-seconds of everybody who is to be ordered; 0 for those who used nothing.
    policy
        Its project shares, and from which ratio on two levels differ.
    """
    by_project = _by_project(usage)
    projects = _project_levels(by_project, policy)
    users = {project: _levels(people, {}) for project, people in by_project.items()}
    levels = {person: (projects[person.project], users[person.project][person.user]) for person in usage}
    ranks = ranks_of(usage, policy)
    return {person: Entitlement(ranks[person], *levels[person]) for person in usage}


def ranks_of(usage: Mapping[Person, float], policy: Policy) -> dict[Person, int]:
    """Return the rank alone of each person's :func:`entitlements`, in the order of ``usage``."""
    by_project = _by_project(usage)
    projects = {project: _band(level, policy) for project, level in _project_levels(by_project, policy).items()}
    users = {project: _user_bands(people, policy) for project, people in by_project.items()}
    places = {project: set(bands.values()) for project, bands in users.items()}
    order = sorted({(projects[project], of_user) for project, found in places.items() for of_user in found}, reverse=True)
    ranks = {key: rank for rank, key in enumerate(order)}
    by_band = {project: {of_user: ranks[projects[project], of_user] for of_user in found} for project, found in places.items()}
    return {person: by_band[person[0]][users[person[0]][person[1]]] for person in usage}


def _by_project(usage: Mapping[Person, float]) -> dict[str, dict[str, float]]:
    by_project: dict[str, dict[str, float]] = {}
    for (project, user), used in usage.items():
        by_project.setdefault(project, {})[user] = used
    return by_project


def _project_levels(by_project: Mapping[str, Mapping[str, float]], policy: Policy) -> dict[str, float]:
    return _levels({project: sum(people.values()) for project, people in by_project.items()}, policy.project_shares)


def _user_bands(people: Mapping[str, float], policy: Policy) -> dict[str, float]:
    """Return the band of each person of a project. Written out: a place may have thousands."""
    if policy.level_ratio <= 1:
        return {user: _band(level, policy) for user, level in _levels(people, {}).items()}
    share, whole_use, width = 1.0 / len(people), sum(people.values()), math.log(policy.level_ratio)
    floor, log = math.floor, math.log
    return {user: floor(log(level) / width) if use > 0 and (level := share * (whole_use / use)) < math.inf else math.inf for user, use in people.items()}


def explain(one: Person, other: Person, placed: Mapping[Person, Entitlement], policy: Policy) -> Explanation:
    """Return why one of two people comes before the other, with the numbers of the level that decides."""
    ahead, behind = sorted((one, other), key=lambda person: placed[person].rank)
    first, second = placed[ahead], placed[behind]
    if _band(first.project_level, policy) != _band(second.project_level, policy):
        return Explanation("", ahead.project, first.project_level, behind.project, second.project_level)
    ancestor = ahead.project if ahead.project == behind.project else ""
    return Explanation(ancestor, "" if first.rank == second.rank else ahead.user, first.user_level, behind.user, second.user_level)


def _levels(used: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, float]:
    """Return the level fairshare of siblings: 1 for who used what their share is, more for who used less."""
    whole_share = sum(shares.get(name, 1.0) for name in used)
    whole_use = sum(used.values())
    return {name: _level(shares.get(name, 1.0) / whole_share if whole_share else 0.0, use, whole_use) for name, use in used.items()}


def _level(share: float, use: float, whole_use: float) -> float:
    if share <= 0:
        return 0.0
    return math.inf if use <= 0 else share * (whole_use / use)


def _band(level: float, policy: Policy) -> float:
    """Return what two levels have in common that count as equal."""
    if policy.level_ratio <= 1 or level in {0.0, math.inf}:
        return level
    return math.floor(math.log(level) / math.log(policy.level_ratio))
