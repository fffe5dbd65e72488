"""How long a server without GPUs may be unused: project before tier before environment template before the place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiplatform_hub.domain.inactivity import InactivityLimit, Owned, Rule, inactivity_limit, limits_in_order
from aiplatform_hub.domain.policy import SHIPPED

OWNED = Owned("vision", "student", "rstudio")
POLICY = replace(
    SHIPPED,
    project_inactive_after_seconds={"vision": 100, "other": 101},
    tier_inactive_after_seconds={"student": 200, "staff": None},
    environment_template_inactive_after_seconds={"rstudio": 300, "jupyterlab": None},
)


CASES = {
    "project before all": (OWNED, InactivityLimit(100, Rule.PROJECT, "vision")),
    "tier before environment template": (replace(OWNED, project="mine"), InactivityLimit(200, Rule.TIER, "student")),
    "never is a limit too": (replace(OWNED, project="mine", tier="staff"), InactivityLimit(None, Rule.TIER, "staff")),
    "environment template before the place": (Owned("mine", "default", "rstudio"), InactivityLimit(300, Rule.ENVIRONMENT_TEMPLATE, "rstudio")),
    "environment template that never ends": (Owned("mine", "default", "jupyterlab"), InactivityLimit(None, Rule.ENVIRONMENT_TEMPLATE, "jupyterlab")),
    "place for the rest": (Owned("mine", "default", "code"), InactivityLimit(400, Rule.PLACE)),
}


@pytest.mark.parametrize(("owned", "limit"), CASES.values(), ids=CASES)
def test_first_rule_that_names_it_counts(owned: Owned, limit: InactivityLimit) -> None:
    assert inactivity_limit(owned, POLICY, 400) == limit


def test_names_of_one_kind_are_not_those_of_another() -> None:
    assert inactivity_limit(Owned("student", "rstudio", "vision"), POLICY, None) == InactivityLimit(None, Rule.PLACE)


def test_person_is_told_what_may_hold_and_no_more() -> None:
    found = limits_in_order(POLICY, projects=["mine", "vision"], tier="default", environment_templates=["code", "rstudio"], place_seconds=400)
    assert [(limit.rule, limit.name) for limit in found] == [(Rule.PROJECT, "vision"), (Rule.ENVIRONMENT_TEMPLATE, "rstudio"), (Rule.PLACE, "")]
    found = limits_in_order(POLICY, projects=["vision"], tier="student", environment_templates=["rstudio"], place_seconds=400)
    assert [(limit.rule, limit.name) for limit in found] == [(Rule.PROJECT, "vision"), (Rule.TIER, "student")], "nothing else can hold"
    assert limits_in_order(SHIPPED, projects=["vision"], tier="student", environment_templates=["rstudio"], place_seconds=None) == (
        InactivityLimit(None, Rule.PLACE),
    )
