"""What a session that is launched now may rely on."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from aiplatform_hub.domain.policy import FIFO, HOUR_SECONDS, SHIPPED
from aiplatform_hub.domain.session_terms import SessionTerms, planned_cost, terms_of


def test_session_with_gpus_has_the_policys_cap_and_idle_rule() -> None:
    assert terms_of(SHIPPED, 2, 99.0) == SessionTerms(6 * HOUR_SECONDS, 24 * HOUR_SECONDS, 600.0, only_while_somebody_waits=True, unused_after_seconds=None)


def test_session_without_gpus_only_ends_unused() -> None:
    assert terms_of(SHIPPED, 0, 3600.0) == SessionTerms(None, None, None, only_while_somebody_waits=False, unused_after_seconds=3600.0)


def test_policy_that_takes_nothing_back_sets_no_end() -> None:
    not_releasing = replace(SHIPPED, is_releasing=False)
    for policy in (FIFO, not_releasing):
        terms = terms_of(policy, 1, None)
        assert (terms.cap_seconds, terms.ceiling_seconds, terms.idle_after_seconds) == (None, None, None)


def test_ceiling_is_never_below_the_cap() -> None:
    assert terms_of(replace(SHIPPED, session_ceiling_seconds=3600.0), 1, None).ceiling_seconds == 6 * HOUR_SECONDS


@pytest.mark.parametrize(("per_hour", "hours", "cost"), [("1.5", 8, "12.0"), ("1.5", None, None), (None, 8, None), ("0", 3, "0")])
def test_planned_cost(per_hour: str | None, hours: int | None, cost: str | None) -> None:
    assert planned_cost(None if per_hour is None else Decimal(per_hour), hours) == (None if cost is None else Decimal(cost))
