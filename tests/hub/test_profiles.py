"""The ecosystem's profiles: compiled from the catalogue, translated into our options, never read by KubeSpawner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.domain.options import resolve
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.hub.profiles import options_of_stock_form, profile_list, translate

CATALOG = load_catalog()
ADA = Caller(1, "ada")
GATED = replace(
    CATALOG,
    environment_templates=dict(CATALOG.environment_templates)
    | {"secret": replace(CATALOG.environment_templates["pytorch"], name="secret", allowed_groups=("vip",))},
)


def test_profiles_offer_counts_and_types() -> None:
    profile = next(p for p in profile_list(CATALOG, ADA, ["a100"]) if p["slug"] == "pytorch")
    assert list(profile["profile_options"]["gpus"]["choices"]) == ["0", "1", "2", "3", "4"]
    assert profile["profile_options"]["gpus"]["choices"]["1"]["default"]
    assert list(profile["profile_options"]["gpu_type"]["choices"]) == ["a100"]
    assert "unlisted_choice" not in str(profile)


def test_gates_filter_by_group() -> None:
    assert "secret" not in {p["slug"] for p in profile_list(GATED, ADA)}
    mine = {p["slug"]: p for p in profile_list(GATED, Caller(1, "ada", frozenset({"vip"})))}
    assert mine["secret"]["allowed_groups"] == ["vip"]


@pytest.mark.parametrize(
    ("options", "ours"),
    [
        ({"profile": "pytorch", "gpus": "2", "gpu_type": "a100"}, {"environment_template": "pytorch", "gpus": 2, "gpu_type": "a100"}),
        ({"profile": "pytorch"}, {"environment_template": "pytorch"}),
        ({"profile": "pytorch", "gpus": "0", "gpu_type": "a100"}, {"environment_template": "pytorch", "gpus": 0}),
        ({"environment_template": "pytorch", "gpus": "2"}, {"environment_template": "pytorch", "gpus": "2"}),
        ("text", "text"),
    ],
)
def test_translation(options: object, ours: object) -> None:
    assert translate(options) == ours


@pytest.mark.parametrize(
    "options",
    [
        {"image--unlisted-choice": "x"},
        {"profile": "pytorch", "image--unlisted-choice": "x"},
        {"profile": ""},
        {"profile": None},
        {"profile": 0},
        {"profile": "pytorch", "gpus": "01"},
        {"profile": "pytorch", "gpus": "1\n"},
        {"profile": "pytorch", "gpus": "-1"},
        {"profile": "pytorch", "gpus": True},
        {"profile": "{userid.__class__}"},
        {"profile": "pytorch", "environment_template": "pytorch"},
        {},
    ],
)
def test_what_profiles_cannot_mean_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(AIPlatformError) as caught:
        resolve(translate(options), catalog=CATALOG, caller=ADA)
    assert caught.value.status in {400, 403}


def test_stock_form_counts_the_chosen_profile_alone() -> None:
    form = {"profile": ["pytorch"], "profile-option-pytorch--gpus": ["2"], "profile-option-tensorflow--gpus": ["4"], "_xsrf": ["x"], "evil": ["1"]}
    assert options_of_stock_form(form) == {"profile": "pytorch", "gpus": "2", "evil": ["1"]}
    assert options_of_stock_form({"environment_template": ["pytorch"]}) is None
