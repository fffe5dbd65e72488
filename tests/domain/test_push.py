"""Which addresses are written to, which keys are right, and what a browser is told."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from aiplatform_hub.domain.notices import Message
from aiplatform_hub.domain.push import KEPT_FOR, browser_of, fault_of_keys, is_push_service, kept_seconds, payload_of

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
POINT = urlsafe_b64encode(b"\x04" + b"p" * 64).rstrip(b"=").decode()
SECRET = urlsafe_b64encode(b"s" * 16).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc",
        "https://updates.push.services.mozilla.com/wpush/v2/abc",
        "https://web.push.apple.com/abc",
        "https://wns2-par02p.notify.windows.com/w/?token=abc",
    ],
)
def test_push_services_are_written_to(endpoint: str) -> None:
    assert is_push_service(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://fcm.googleapis.com/fcm/send/abc",
        "https://fcm.googleapis.com:8443/abc",
        "https://fcm.googleapis.com.evil.example/abc",
        "https://evil.example/https://fcm.googleapis.com/",
        "https://fcm.googleapis.com@evil.example/abc",
        "https://user@fcm.googleapis.com/abc",
        "https://evil.example\\.push.apple.com/abc",
        "https://evil.example#.push.apple.com/abc",
        "https://push.apple.com/abc",
        "https://127.0.0.1/abc",
        "https://[::1]/abc",
        "https://169.254.169.254/latest/meta-data",
        "https://web.push.apple.com/a b",
        "https://web.push.apple.com/\n",
        "https://web.push.apple.com:99999/",
        "file:///etc/passwd",
        "",
        "https://web.push.apple.com/" + "a" * 1024,
    ],
)
def test_nothing_else_is_written_to(endpoint: str) -> None:
    assert not is_push_service(endpoint)


def test_operator_may_name_another_service_with_its_port() -> None:
    assert is_push_service("http://127.0.0.1:8080/x", ("http://127.0.0.1:8080",))
    assert not is_push_service("http://127.0.0.1:8081/x", ("http://127.0.0.1:8080",))


@pytest.mark.parametrize(
    ("p256dh", "auth", "named"),
    [
        (POINT, SECRET, None),
        (f"{POINT}=", f"{SECRET}==", None),
        (POINT[:-2], SECRET, "keys.p256dh"),
        ("x" + POINT[1:], SECRET, "keys.p256dh"),
        ("", SECRET, "keys.p256dh"),
        (POINT + "!", SECRET, "keys.p256dh"),
        (POINT, SECRET[:-3], "keys.auth"),
        (POINT, "", "keys.auth"),
    ],
)
def test_keys_are_those_of_a_browser(p256dh: str, auth: str, named: str | None) -> None:
    fault = fault_of_keys(p256dh, auth)
    assert fault is None if named is None else fault is not None and fault.startswith(named)


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 Version/26.0 Mobile Safari/604.1", "Safari on iPhone"),
        ("", "A browser"),
        ("<script>", "A browser"),
    ],
)
def test_browsers_have_names(agent: str, words: str) -> None:
    assert browser_of(agent) == words


def message(kind: str = "turn_came", until: datetime | None = None) -> Message:
    return Message(7, NOW, kind, "ada", "Ready", ("It runs.",), "", UUID(int=3), {"until": None if until is None else until.isoformat()})


def test_browser_is_told_what_happened_and_where_to_look() -> None:
    session = str(UUID(int=3))
    assert payload_of(message()) == {"id": 7, "subject": "Ready", "sentences": ["It runs."], "session": session, "is_urgent": True}
    assert not payload_of(message("expired"))["is_urgent"]


def test_nothing_is_kept_for_longer_than_it_is_true() -> None:
    assert kept_seconds(message(), NOW) == KEPT_FOR.total_seconds()
    assert kept_seconds(message(until=NOW + timedelta(minutes=15)), NOW) == 900
    assert kept_seconds(message(until=NOW + timedelta(days=9)), NOW) == KEPT_FOR.total_seconds()
    assert kept_seconds(message(until=NOW - timedelta(minutes=1)), NOW) == 0
