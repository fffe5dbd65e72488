"""The spawn page's form: text in, the same strict options out."""

from __future__ import annotations

import pytest

from aiplatform_hub.errors import CapacityError, InvalidOptionError, Reason, ServiceUnavailableError
from aiplatform_hub.hub.options_form import options_from_strings
from aiplatform_hub.hub.refusals import confirm_on_launch, refusal


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ({"environment_template": ["a"], "gpus": ["2"], "memory_gib": [""], "_xsrf": ["x"]}, {"environment_template": "a", "gpus": 2}),
        ({"gpus": ["2.0"]}, {"gpus": "2.0"}),
        ({"gpus": ["²"]}, {"gpus": "²"}),
        ({"gpus": [" 2"]}, {"gpus": " 2"}),
        ({"gpus": ["1", "2"]}, {"gpus": ["1", "2"]}),
        ({"evil": ["x"]}, {"evil": ["x"]}),
        ({"upload_file": [{"body": b"x"}]}, {"upload_file": ["a file"]}),
        ({}, {}),
    ],
)
def test_strings_become_exact_options_and_nothing_is_lost(form: dict[str, list[object]], options: dict[str, object]) -> None:
    assert options_from_strings(form) == options


def test_refusal_carries_status_label_words_and_escaped_reasons() -> None:
    reason = Reason(code="capacity", message="<b>none</b> free", remedies=("Choose 1 GPU.",), field="gpus", allowed=("0", "1"))
    exception = refusal(CapacityError("Not enough <i>free</i>.", (reason,), retry_after_seconds=12), "/hub-base/")
    assert (exception.status_code, exception.reason, exception.message) == (429, "capacity", "Not enough <i>free</i>.")
    assert exception.headers == {"Retry-After": "12"}
    assert "<li>&lt;b&gt;none&lt;/b&gt; free Allowed: 0, 1. Choose 1 GPU.</li>" in exception.message_html
    assert 'href="/hub-base/services/platform/launch"' in exception.message_html
    assert "<i>" not in exception.message_html


def test_unavailable_always_says_when_to_come_back() -> None:
    assert refusal(ServiceUnavailableError("Away."), "/").headers == {"Retry-After": "5"}
    assert refusal(InvalidOptionError("No."), "/").headers == {}


def test_link_leads_to_a_prefilled_page_without_what_it_does_not_know() -> None:
    exception = confirm_on_launch({"gpus": ["1"], "evil": ["<x>"], "environment_template": ['"a b']}, "mine", "/")
    assert exception.status_code == 400
    assert "gpus=1&amp;environment_template=%22a+b&amp;server_name=mine" in exception.message_html
    assert "evil" not in exception.message_html
