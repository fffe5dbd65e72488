"""User options are untrusted: only exact, known values become a request."""

from __future__ import annotations

import json

import pytest
from domain_values import CATALOG
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.options import OPTION_KEYS, options_of, resolve
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import AIPlatformError, InvalidOptionError, ProfileForbiddenError

ALICE = Caller(1, "alice", frozenset({"vision"}))
NOBODY = Caller(2, "bob")


def resolved(options, caller=ALICE, **more):
    return resolve(options, catalog=CATALOG, caller=caller, **more)


def with_pytorch(**options):
    return {"environment_template": "pytorch", **options}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "environment_template"),
        ({"environment_template": "pytorchh"}, "environment_template"),
        ({"environment_template": None}, "environment_template"),
        ({"environment_template": ["pytorch"]}, "environment_template"),
        ({"environment_template": {"name": "pytorch"}}, "environment_template"),
        ({"environment_template": "pytorch\n"}, "environment_template"),
        ({"environment_template": "pytorch\x00"}, "environment_template"),
        ({"environment_template": "{username}"}, "environment_template"),
        ({"environment_template": "x" * 256}, "environment_template"),
        ({"environment_template": "x" * 1_000_000}, "environment_template"),
        (with_pytorch(gpus="2"), "gpus"),
        (with_pytorch(gpus=2.0), "gpus"),
        (with_pytorch(gpus=True), "gpus"),
        (with_pytorch(gpus=False), "gpus"),
        (with_pytorch(gpus=None), "gpus"),
        (with_pytorch(gpus=[1]), "gpus"),
        (with_pytorch(gpus=float("nan")), "gpus"),
        (with_pytorch(gpus=float("inf")), "gpus"),
        (with_pytorch(gpus=-1), "gpus"),
        (with_pytorch(gpus=5), "gpus"),
        (with_pytorch(gpus=10**5000), "gpus"),
        ({"environment_template": "big", "gpus": 1}, "gpus"),
        ({"environment_template": "big", "gpu_type": "simulated"}, "gpu_type"),
        (with_pytorch(gpu_type="h1000"), "gpu_type"),
        (with_pytorch(gpu_type=1), "gpu_type"),
        (with_pytorch(gpu_type=None), "gpu_type"),
        (with_pytorch(gpus=0, gpu_type="h1000"), "gpu_type"),
        (with_pytorch(memory_gib=0), "memory_gib"),
        (with_pytorch(memory_gib=65), "memory_gib"),
        (with_pytorch(memory_gib="16 GiB"), "memory_gib"),
        (with_pytorch(cpu_cores=0), "cpu_cores"),
        (with_pytorch(project="visoin"), "project"),
        (with_pytorch(project="vision\r\n"), "project"),
        (with_pytorch(max_hours=0), "max_hours"),
        (with_pytorch(max_hours=8761), "max_hours"),
        (with_pytorch(max_hours=None), "max_hours"),
        (with_pytorch(gpu=1), "gpu"),
        (with_pytorch(GPUS=1), "GPUS"),
        (with_pytorch(**{"image--unlisted-choice": "x"}), "image--unlisted-choice"),
        (with_pytorch(**{"evil\nkey": 1}), "options"),
        (with_pytorch(**{"{userid}": 1}), "options"),
        (with_pytorch(**{"": 1}), "options"),
        ({**with_pytorch(), 3: 1}, "options"),
        ([], "options"),
        (None, "options"),
        ("pytorch", "options"),
        (7, "options"),
    ],
)
def test_wrong_option_is_named_with_what_is_allowed(options, field):
    with pytest.raises(InvalidOptionError) as caught:
        resolved(options)
    error = caught.value
    assert [reason.field for reason in error.reasons] == [field]
    assert error.reasons[0].allowed
    assert error.message.isprintable()
    assert len(error.message) < 600
    assert "{" not in error.message


def test_every_wrong_option_is_told_at_once():
    with pytest.raises(InvalidOptionError) as caught:
        resolved(with_pytorch(gpus="2", memory_gib=0, project="?", gpu=1))
    assert {reason.field for reason in caught.value.reasons} == {"gpus", "memory_gib", "project", "gpu"}
    assert "Did you mean gpus?" in caught.value.message


def test_reasons_stay_few_however_many_keys_come():
    with pytest.raises(InvalidOptionError) as caught:
        resolved({f"key{number}": number for number in range(100_000)})
    assert len(caught.value.reasons) <= 21


def test_range_is_written_out_in_the_message():
    with pytest.raises(InvalidOptionError, match=r"^gpus must be a whole number from 0 to 4\.$"):
        resolved(with_pytorch(gpus=5))
    with pytest.raises(InvalidOptionError, match=r"^gpus must be a whole number from 0 to 4, not true or false\.$"):
        resolved(with_pytorch(gpus=True))


def test_defaults_come_from_the_environment_template():
    request = resolved(with_pytorch())
    assert (request.gpus, request.gpu_type, request.memory_bytes, request.cpu_cores, request.max_hours) == (1, "h100", 16 * GIB, 4, None)


@pytest.mark.parametrize(
    ("groups", "options", "project", "cost_centre"),
    [
        ((), {}, "personal", "personal"),
        (("vision",), {}, "vision", "lab"),
        (("vision", "nlp"), {}, "personal", "personal"),
        (("vision", "nlp"), {"project": "nlp"}, "nlp", "lab"),
        (("vision",), {"project": "personal"}, "personal", "personal"),
    ],
)
def test_project_is_the_named_one_else_the_only_one_else_personal(groups, options, project, cost_centre):
    request = resolved(with_pytorch(**options), Caller(1, "alice", frozenset(groups)))
    assert (request.project, request.cost_centre) == (project, cost_centre)


@pytest.mark.parametrize(
    ("template", "available", "gpu_type"),
    [
        ("pytorch", None, "h100"),
        ("pytorch", ["simulated"], "simulated"),
        ("pytorch", ["l4", "h100"], "l4"),
        ("pytorch", [], "h100"),
        ("pytorch", ["unheard-of"], "h100"),
        ("big", None, "l4"),
        ("big", ["simulated", "h100", "l4"], "l4"),
        ("big", ["h100"], "h100"),
        ("big", ["simulated"], "l4"),
    ],
)
def test_absent_gpu_type_is_the_first_allowed_one_that_is_here(template, available, gpu_type):
    assert resolved({"environment_template": template, "gpus": 2}, available_gpu_types=available).gpu_type == gpu_type


def test_gpu_type_without_gpus_is_none():
    assert resolved(with_pytorch(gpus=0, gpu_type="h100")).gpu_type is None


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"environment_template": "secret"}, ["environment_template"]),
        (with_pytorch(project="vision"), ["project"]),
        ({"environment_template": "secret", "project": "nlp"}, ["environment_template", "project"]),
    ],
)
def test_what_belongs_to_other_groups_is_forbidden(options, fields):
    with pytest.raises(ProfileForbiddenError) as caught:
        resolved(options, NOBODY)
    assert [reason.field for reason in caught.value.reasons] == fields
    assert all("secret" not in reason.allowed and "vision" not in reason.allowed for reason in caught.value.reasons)


def test_member_of_an_allowed_group_may_use_the_template():
    assert resolved({"environment_template": "secret"}, Caller(3, "eve", frozenset({"staff"}))).environment_template == "secret"


good_options = st.fixed_dictionaries(
    {"environment_template": st.sampled_from(["pytorch", "jupyterlab"])},
    optional={
        "gpus": st.integers(0, 4),
        "gpu_type": st.sampled_from(["h100", "l4", "other", "simulated"]),
        "memory_gib": st.integers(1, 64),
        "cpu_cores": st.integers(1, 16),
        "project": st.sampled_from(["vision", "personal"]),
        "max_hours": st.integers(1, 8760),
    },
)


@given(good_options)
def test_options_of_a_request_resolve_to_it_again(options):
    request = resolved(options)
    again = options_of(request)
    assert resolved(json.loads(json.dumps(again))) == request
    assert resolved(again, available_gpu_types=["other"]) == request


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["pytorch", "h100", "vision", "{0}", "a\nb"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(OPTION_KEYS) | st.text(max_size=6)


@given(st.dictionaries(keys, json_values, max_size=8) | json_values)
def test_any_json_is_a_request_or_a_refusal(options):
    try:
        request = resolved(options)
    except AIPlatformError as error:
        assert error.status in {400, 403}
        assert error.reasons
    else:
        assert request.environment_template in CATALOG.environment_templates
        assert 0 <= request.gpus <= 8
        assert (request.gpu_type is None) == (request.gpus == 0)
