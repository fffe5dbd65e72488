"""Why a person has a tier: as decisions take it, with what it comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiplatform_hub.domain.catalog import Tier
from aiplatform_hub.domain.limits import tier_of
from aiplatform_hub.domain.people import tier_choice
from aiplatform_hub.domain.requests import Caller
from tests.web.samples import CATALOG

TIERS = {
    "default": Tier("default", "Default", 10, ()),
    "premium": Tier("premium", "Premium", 20, (), groups=("premium", "staff")),
    "guest": Tier("guest", "Guest", 5, (), groups=("guest",)),
}
OFFER = replace(CATALOG, tiers=TIERS)


@pytest.mark.parametrize(
    ("groups", "granted", "expected"),
    [
        ((), None, ("default", (), False, ())),
        (("guest",), None, ("guest", ("guest",), False, ())),
        (("staff", "premium"), None, ("premium", ("premium", "staff"), False, ())),
        (("guest", "premium"), None, ("premium", ("premium",), False, ("guest",))),
        ((), "premium", ("premium", (), True, ())),
        (("premium",), "premium", ("premium", ("premium",), False, ())),
        (("premium",), "guest", ("premium", ("premium",), False, ("guest",))),
        ((), "gone", ("default", (), False, ())),
    ],
)
def test_choice_says_what_a_tier_comes_from(groups: tuple[str, ...], granted: str | None, expected: tuple[object, ...]) -> None:
    choice = tier_choice(groups, OFFER, granted)
    assert (choice.tier.name, choice.groups, choice.is_granted, tuple(t.name for t in choice.outranked)) == expected
    assert choice.tier == tier_of(Caller(1, "ada", frozenset(groups)), OFFER, granted), "the same as decisions take"
    assert choice.is_default == (expected[0] == "default")
