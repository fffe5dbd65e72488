"""Notices to browsers, against a push service that checks and decrypts what it gets."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from aiplatform_hub.clients.notifiers.vapid import VapidKey, kept_key
from aiplatform_hub.clients.notifiers.webpush import WebPushNotifier, make
from aiplatform_hub.domain.notices import DeliveryError, Message
from aiplatform_hub.domain.push import PushSubscription
from aiplatform_hub.errors import ConfigurationError
from tests.support.hub import free_port
from tests.support.push_service import PushBrowser, PushService, encoded

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MESSAGE = Message(7, NOW, "turn_came", "ada", "Your turn has come: PyTorch", ("It runs on 2 × NVIDIA H100 – “train”.",), "", UUID(int=3), {"until": None})


@dataclass
class Known:
    """Browsers of one person."""

    browsers: list[PushSubscription] = field(default_factory=list)
    told: list[UUID] = field(default_factory=list)

    def of(self, user_name: str) -> tuple[PushSubscription, ...]:
        return tuple(each for each in self.browsers if each.user_name == user_name)

    def delivered(self, subscription: PushSubscription) -> None:
        self.told.append(subscription.id)

    def gone(self, subscription: PushSubscription) -> None:
        self.browsers.remove(subscription)

    def add(self, browser: PushBrowser, user_name: str = "ada") -> PushSubscription:
        keys = browser.as_json()["keys"]
        made = PushSubscription(uuid4(), user_name, browser.endpoint, keys["p256dh"], keys["auth"], "Firefox", NOW)
        self.browsers.append(made)
        return made


@pytest.fixture
def service() -> Iterator[PushService]:
    running = PushService()
    yield running
    running.close()


@pytest.fixture
def key(tmp_path: Path) -> VapidKey:
    return kept_key(tmp_path / "secrets" / "vapid-key")


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
def notifier(known: Known, key: VapidKey) -> WebPushNotifier:
    made = make({"contact": "mailto:admin@example.org", "timeout_seconds": 5}, "")
    made.connect(known, lambda: key)
    return made


def test_browser_reads_what_only_it_can_read(service: PushService, known: Known, notifier: WebPushNotifier, key: VapidKey) -> None:
    mine, other = known.add(service.browser()), service.browser()
    known.add(other, "bob")
    notifier.deliver(MESSAGE)
    (pushed,) = service.pushed
    assert pushed.browser.endpoint == mine.endpoint
    assert pushed.message == {
        "id": 7,
        "subject": "Your turn has come: PyTorch",
        "sentences": ["It runs on 2 × NVIDIA H100 – “train”."],
        "session": str(UUID(int=3)),
        "is_urgent": True,
    }
    assert pushed.key == key.public
    assert (pushed.claims["sub"], pushed.claims["aud"]) == ("mailto:admin@example.org", service.origin)
    assert 0 < pushed.claims["exp"] - datetime.now(UTC).timestamp() <= 86400
    assert (pushed.headers["urgency"], pushed.headers["ttl"], pushed.headers["content-encoding"]) == ("high", "86400", "aes128gcm")
    assert known.told == [mine.id]


def test_who_has_no_browser_is_not_told(service: PushService, notifier: WebPushNotifier) -> None:
    notifier.deliver(MESSAGE)
    assert service.requests == 0


@pytest.mark.parametrize("status", [404, 410])
def test_browser_that_is_gone_is_forgotten_and_the_others_are_told(service: PushService, known: Known, notifier: WebPushNotifier, status: int) -> None:
    dead, alive = service.browser(), service.browser()
    known.add(dead)
    kept = known.add(alive)
    service.statuses[dead.path] = status
    notifier.deliver(MESSAGE)
    assert known.browsers == [kept]
    assert [pushed.browser for pushed in service.pushed] == [alive]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_service_in_trouble_is_tried_again_and_nobody_forgotten(service: PushService, known: Known, notifier: WebPushNotifier, status: int) -> None:
    away, alive = service.browser(), service.browser()
    known.add(away)
    known.add(alive)
    service.statuses[away.path] = status
    with pytest.raises(DeliveryError, match=f"1 of 2 browsers could not be reached: its push service answered {status}"):
        notifier.deliver(MESSAGE)
    assert len(known.browsers) == 2
    assert [pushed.browser for pushed in service.pushed] == [alive], "the first one's trouble is not the second one's"


def test_service_that_is_away_is_tried_again(known: Known, notifier: WebPushNotifier) -> None:
    known.add(PushBrowser(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(DeliveryError, match="ConnectionError"):
        notifier.deliver(MESSAGE)


@pytest.mark.parametrize("status", [301, 307])
def test_redirect_is_not_followed(service: PushService, known: Known, notifier: WebPushNotifier, status: int) -> None:
    browser = service.browser()
    known.add(browser)
    service.statuses[browser.path] = status
    with pytest.raises(DeliveryError, match="TooManyRedirects"):
        notifier.deliver(MESSAGE)
    assert service.requests == 1


def test_refusal_of_one_message_forgets_nobody(service: PushService, known: Known, notifier: WebPushNotifier) -> None:
    browser = service.browser()
    known.add(browser)
    service.statuses[browser.path] = 413
    notifier.deliver(MESSAGE)
    assert len(known.browsers) == 1
    assert known.told == []


def test_key_that_is_not_on_the_curve_is_forgotten(service: PushService, known: Known, notifier: WebPushNotifier) -> None:
    broken = service.browser()
    sub = known.add(broken)
    known.browsers[:] = [PushSubscription(sub.id, "ada", sub.endpoint, encoded(b"\x04" + b"\xff" * 64), sub.auth, "Firefox", NOW)]
    notifier.deliver(MESSAGE)
    assert known.browsers == []
    assert service.requests == 0


def test_key_is_made_once_by_however_many_ask_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "vapid-key"
    with ThreadPoolExecutor(8) as pool:
        keys = {each.public for each in pool.map(lambda _: kept_key(file), range(32))}
    assert len(keys) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["vapid-key"]


def test_key_may_be_any_base64() -> None:
    raw = "++//" + "A" * 39 + "="
    assert VapidKey(raw).public == VapidKey(raw.replace("+", "-").replace("/", "_").rstrip("=") + "\n").public


@pytest.mark.parametrize(
    ("options", "secret", "sentence"),
    [
        ({}, "", "lacks the option 'contact'"),
        ({"contact": "nobody"}, "", "['contact'] is not right"),
        ({"contact": "mailto:a@b", "services": []}, "", "['services'] is not right"),
        ({"contact": "mailto:a@b", "mail": 1}, "", "has no option 'mail'; it has contact, services, timeout_seconds, and secret_file."),
        ({"contact": "mailto:a@b"}, "short", "must be 32 random bytes in base64"),
        ({"contact": "mailto:a@b"}, encoded(b"\0" * 32), "must be 32 random bytes in base64"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], secret: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(options, secret)
    assert sentence in str(caught.value)


def test_services_that_send_nothing_do_not_load_the_sender() -> None:
    program = "import sys, aiplatform_hub.factory; sys.exit('pywebpush' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
