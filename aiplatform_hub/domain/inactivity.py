"""After how long a server without GPUs ends that nobody uses, and which rule says so. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from aiplatform_hub.domain.policy import Policy


class Rule(StrEnum):
    """What says how long a server may be unused."""

    PROJECT = "project"
    TIER = "tier"
    ENVIRONMENT_TEMPLATE = "environment_template"
    PLACE = "place"
    """The culler's own setting, for whatever the policy does not name."""


@dataclass(frozen=True, slots=True)
class Owned:
    """What the limit of a server depends on: names of the catalogue."""

    project: str
    tier: str
    """Its owner's when it was started."""
    environment_template: str


@dataclass(frozen=True, slots=True)
class InactivityLimit:
    """How long a server may be unused."""

    after_seconds: float | None
    """None is for ever."""
    rule: Rule
    name: str = ""
    """Of the project, tier or environment template; empty for the place."""


def inactivity_limit(owned: Owned, policy: Policy, place_seconds: float | None) -> InactivityLimit:
    """Return the limit of a server: its project's, else its tier's, else its environment template's, else the place's.

    Who pays decides before who it is for, and that before what runs.

    Parameters
    ----------
    place_seconds
        What the culler was started with, in seconds; None is never.
    """
    names = {Rule.PROJECT: owned.project, Rule.TIER: owned.tier, Rule.ENVIRONMENT_TEMPLATE: owned.environment_template}
    for rule, limits in _rules(policy):
        if names[rule] in limits:
            return InactivityLimit(limits[names[rule]], rule, names[rule])
    return InactivityLimit(place_seconds, Rule.PLACE)


def limits_in_order(
    policy: Policy, *, projects: Iterable[str], tier: str, environment_templates: Iterable[str], place_seconds: float | None
) -> tuple[InactivityLimit, ...]:
    """Return the limits that may hold for what a person starts; of those that fit a server the first one holds, and the last one fits everything.

    Parameters
    ----------
    projects
        Those of the person.
    environment_templates
        Those that the person may start.
    place_seconds
        As for :func:`inactivity_limit`.
    """
    of_projects, of_tiers, of_templates = (limits for _, limits in _rules(policy))
    found = [InactivityLimit(of_projects[name], Rule.PROJECT, name) for name in projects if name in of_projects]
    if tier in of_tiers:
        return (*found, InactivityLimit(of_tiers[tier], Rule.TIER, tier))
    found += [InactivityLimit(of_templates[name], Rule.ENVIRONMENT_TEMPLATE, name) for name in environment_templates if name in of_templates]
    return (*found, InactivityLimit(place_seconds, Rule.PLACE))


def _rules(policy: Policy) -> tuple[tuple[Rule, Mapping[str, float | None]], ...]:
    """Return the limits of the policy, in the order in which they count."""
    return (
        (Rule.PROJECT, policy.project_inactive_after_seconds),
        (Rule.TIER, policy.tier_inactive_after_seconds),
        (Rule.ENVIRONMENT_TEMPLATE, policy.environment_template_inactive_after_seconds),
    )
