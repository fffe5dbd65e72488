"""Browsers that are told by push: whose they are, how many, and what becomes of those that are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiplatform_hub.config import Place, Settings
from aiplatform_hub.domain.push import MOST_BROWSERS, PUSH_SERVICES, PushSubscription
from aiplatform_hub.errors import ConfigurationError, ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.push_desk import PushDesk
from aiplatform_hub.storage.push_subscriptions import PushSubscriptionStore
from tests.support.chain import Chain
from tests.support.push_service import PushBrowser

ORIGIN = PUSH_SERVICES[0]


@pytest.fixture
def desk(chain: Chain) -> PushDesk:
    return PushDesk(database=chain.database, push_subscriptions=PushSubscriptionStore(), services=PUSH_SERVICES, clock=chain.clock)


def switch_on(desk: PushDesk, user_name: str, browser: PushBrowser | None = None) -> PushSubscription:
    made = (browser or PushBrowser(ORIGIN)).as_json()
    return desk.switch_on(user_name, endpoint=made["endpoint"], browser="Firefox on Linux", **made["keys"])


def test_browser_is_told_until_its_person_switches_it_off(desk: PushDesk) -> None:
    made = switch_on(desk, "ada")
    assert desk.of("ada") == (made,)
    assert desk.of("ben") == ()
    with pytest.raises(NotFoundError):
        desk.switch_off(made.id, by="ben")
    assert desk.of("ada") == (made,)
    desk.switch_off(made.id, by="ada")
    assert desk.of("ada") == ()
    with pytest.raises(NotFoundError):
        desk.switch_off(made.id, by="ada")


def test_switching_on_again_changes_the_keys_alone(desk: PushDesk) -> None:
    first = PushBrowser(ORIGIN)
    made = switch_on(desk, "ada", first)
    again = switch_on(desk, "ada", PushBrowser(ORIGIN, path=first.path))
    assert (again.id, again.created_at) == (made.id, made.created_at)
    assert again.p256dh != made.p256dh
    assert desk.of("ada") == (again,)


def test_browser_belongs_to_who_switched_it_on_last(desk: PushDesk) -> None:
    browser = PushBrowser(ORIGIN)
    made = switch_on(desk, "ada", browser)
    taken = switch_on(desk, "ben", browser)
    assert desk.of("ada") == ()
    assert desk.of("ben") == (taken,)
    assert taken.id != made.id, "who had its id cannot switch it off"


def test_nobody_has_more_browsers_than_a_person_uses(desk: PushDesk) -> None:
    first = PushBrowser(ORIGIN)
    switch_on(desk, "ada", first)
    for _ in range(MOST_BROWSERS - 1):
        switch_on(desk, "ada")
    with pytest.raises(ConflictError, match="Turn one off first"):
        switch_on(desk, "ada")
    assert switch_on(desk, "ada", first), "one that is known already is none more"
    assert len(desk.of("ada")) == MOST_BROWSERS


def test_addresses_that_are_no_push_service_and_wrong_keys_are_refused(desk: PushDesk) -> None:
    with pytest.raises(InvalidOptionError, match="endpoint must be an address of a push service") as caught:
        switch_on(desk, "ada", PushBrowser("http://169.254.169.254"))
    assert caught.value.reasons[0].allowed == PUSH_SERVICES
    with pytest.raises(InvalidOptionError, match=r"keys\.auth"):
        switch_on(desk, "ada", PushBrowser(ORIGIN, auth=b"short"))
    assert desk.of("ada") == ()


def test_what_was_told_and_what_is_gone_is_noted(desk: PushDesk, chain: Chain) -> None:
    made = switch_on(desk, "ada")
    desk.delivered(made)
    assert desk.of("ada")[0].delivered_at == chain.clock()
    desk.gone(made)
    assert desk.of("ada") == ()


def settings(folder: Path, place: Place = Place.MACHINE) -> Settings:
    return Settings(data_dir=folder, place=place, notifiers='{"webpush": {"contact": "mailto:admin@example.org"}}')


def test_each_process_of_a_machine_has_the_same_key(tmp_path: Path) -> None:
    first, second = Factory(settings(tmp_path)), Factory(settings(tmp_path))
    assert first.has_push
    first.check_notices()
    assert not (tmp_path / "secrets").exists(), "a check makes nothing"
    assert first.vapid_key.public == second.vapid_key.public
    assert not Factory(Settings(data_dir=tmp_path)).has_push


def test_processes_of_a_cluster_are_given_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="AIPLATFORM_NOTIFIER_WEBPUSH_SECRET in the platform service and the keeper"):
        Factory(settings(tmp_path, Place.CLUSTER)).check_notices()
    monkeypatch.setenv("AIPLATFORM_NOTIFIER_WEBPUSH_SECRET", "k" * 43 + "=")
    Factory(settings(tmp_path, Place.CLUSTER)).check_notices()
