"""`aiplatform grants`: beside a running hub, a grant counts from the next decision on."""

from __future__ import annotations

import json

import pytest
from installation import aiplatform

from aiplatform_hub.config import Settings
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade


@pytest.fixture
def factory(tmp_path):
    made = Factory(Settings(data_dir=tmp_path))
    upgrade(made.settings.resolved_database_url)
    return made


def test_a_grant_is_given_listed_counted_and_taken_back(factory, tmp_path):
    ann = Caller(1, "ann")
    assert factory.enforcer.tier_name(ann) == "default"
    given = aiplatform("grants", "give", "ann", "premium", "--days", "2", "--reason", "thesis", "--data-dir", tmp_path)
    assert given.returncode == 0, given.stderr
    assert "ann has the tier premium until" in given.stdout
    assert factory.enforcer.tier_name(ann) == "premium"
    (row,) = json.loads(aiplatform("grants", "list", "--json", "--data-dir", tmp_path).stdout)
    assert (row["user"], row["tier"], row["reason"]) == ("ann", "premium", "thesis")
    assert "1 ended" in aiplatform("grants", "revoke", "ann", "--data-dir", tmp_path).stdout
    assert factory.enforcer.tier_name(ann) == "default"
    assert [event.action for event in factory.audit_trail.latest()] == ["revoke", "grant"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("give", "ann", "gold", "--days", "2", "--reason", "x"), 1, "There is no tier"),
        (("give", "ann", "premium", "--days", "0", "--reason", "x"), 2, "1<=x<=3650"),
        (("give", "ann", "premium", "--days", "2"), 2, "--reason"),
    ],
)
def test_wrong_use_says_what_is_right_and_grants_nothing(factory, tmp_path, arguments, code, words):
    done = aiplatform("grants", *arguments, "--data-dir", tmp_path)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert factory.grants.active() == ()
