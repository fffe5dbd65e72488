"""Webhook against a real HTTP server: what is posted, how it is signed, what counts as taken; and loading of plug-ins."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint

import pytest

from aiplatform_hub.clients.notifiers import loading
from aiplatform_hub.clients.notifiers.loading import load_notifiers
from aiplatform_hub.clients.notifiers.page import PageNotifier
from aiplatform_hub.clients.notifiers.webhook import make
from aiplatform_hub.domain.notices import DeliveryError
from aiplatform_hub.errors import ConfigurationError
from tests.clients.test_email_notifier import MESSAGE, free_port

SECRET = "0123456789abcdef-secret"


class Receiver:
    def __init__(self) -> None:
        self.status, self.location, self.requests, self.is_silent = 204, "", [], threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, dict(self.headers), body))
                if receiver.is_silent.is_set():
                    receiver.release.wait(60)
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.release = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.release.set()
    made.server.shutdown()
    made.server.server_close()


def test_notice_is_posted_and_its_signature_checks(receiver):
    make({"url": receiver.url}, SECRET).deliver(MESSAGE)
    ((path, headers, body),) = receiver.requests
    assert (path, headers["Content-Type"], headers["X-AIPlatform-Notification"]) == ("/hook", "application/json", "7")
    signed = headers["X-AIPlatform-Timestamp"].encode() + b"." + body
    assert headers["X-AIPlatform-Signature"] == "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert SECRET not in str(headers) + body.decode()
    posted = json.loads(body)
    assert (posted["kind"], posted["user"], posted["subject"], posted["sentences"]) == ("turn_came", "ada", MESSAGE.subject, list(MESSAGE.sentences))
    assert posted["at"] == "2026-11-28T12:00:00.000000Z"


@pytest.mark.parametrize(("status", "is_final"), [(500, False), (503, False), (429, False), (408, False), (400, True), (404, True), (410, True)])
def test_only_2xx_is_taken(receiver, status, is_final):
    receiver.status = status
    with pytest.raises(DeliveryError, match=f"The receiver answered {status}") as caught:
        make({"url": receiver.url}, SECRET).deliver(MESSAGE)
    assert caught.value.is_final is is_final


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(receiver, status):
    receiver.status, receiver.location = status, f"{receiver.url}/elsewhere"
    with pytest.raises(DeliveryError, match="redirects are not followed") as caught:
        make({"url": receiver.url}, SECRET).deliver(MESSAGE)
    assert caught.value.is_final
    assert len(receiver.requests) == 1


def test_receiver_that_is_away_or_silent_is_tried_again(receiver):
    with pytest.raises(DeliveryError, match="ConnectionError") as caught:
        make({"url": f"http://127.0.0.1:{free_port()}/"}, SECRET).deliver(MESSAGE)
    assert not caught.value.is_final
    receiver.is_silent.set()
    with pytest.raises(DeliveryError, match="ReadTimeout"):
        make({"url": receiver.url, "timeout_seconds": 1}, SECRET).deliver(MESSAGE)


@pytest.mark.parametrize(
    ("options", "secret", "sentence"),
    [
        ({}, SECRET, "lacks the option 'url'"),
        ({"url": "ftp://example.org/"}, SECRET, "['url'] is not right"),
        ({"url": "https://user:password@example.org/"}, SECRET, "['url'] is not right"),
        ({"url": "https://example.org/", "retries": 3}, SECRET, "has no option 'retries'; it has url, timeout_seconds, and secret_file."),
        ({"url": "https://example.org/"}, "", "needs a secret of at least 16 characters to sign with: set AIPLATFORM_NOTIFIER_WEBHOOK_SECRET"),
        ({"url": "https://example.org/"}, "short", "needs a secret of at least 16 characters"),
    ],
)
def test_bad_options_are_one_sentence(options, secret, sentence):
    with pytest.raises(ConfigurationError) as caught:
        make(options, secret)
    assert sentence in caught.value.message
    assert "password@" not in caught.value.message
    assert "\n" not in caught.value.message


# Plug-ins


class Loud:
    def __init__(self, options, secret) -> None:
        self.options, self.secret = options, secret

    def deliver(self, message) -> None:
        pass


def broken(options, secret):
    raise RuntimeError("no such channel")


@pytest.fixture
def plug_ins(monkeypatch):
    here = "tests.clients.test_webhook_notifier"
    points = [
        EntryPoint(name, value, loading.GROUP) for name, value in {"loud": f"{here}:Loud", "broken": f"{here}:broken", "gone": "no_such_package:x"}.items()
    ]
    found = {**loading.installed(), **{point.name: point for point in points}}
    monkeypatch.setattr(loading, "installed", lambda: found)


def test_ours_are_registered_as_others_are():
    assert {"page", "email", "webhook"} <= loading.installed().keys()
    made = load_notifiers({"page": {}, "webhook": {"url": "https://example.org/"}}, lambda name, _file: SECRET if name == "webhook" else "")
    assert list(made) == ["page", "webhook"]
    assert isinstance(made["page"], PageNotifier)


def test_plug_in_gets_its_options_and_secret(plug_ins):
    asked = []
    made = load_notifiers({"loud": {"room": "gpu", "secret_file": "/x"}}, lambda *asked_for: asked.append(asked_for) or "s")
    assert (made["loud"].options, made["loud"].secret, asked) == ({"room": "gpu"}, "s", [("loud", "/x")])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone", "The notifier 'gone' (no_such_package:x) cannot be loaded: ModuleNotFoundError: No module named 'no_such_package'."),
        ("broken", "The notifier 'broken' (tests.clients.test_webhook_notifier:broken) cannot be loaded: RuntimeError: no such channel."),
        ("pigeon", "c.AIPlatform.notifiers names 'pigeon', which no installed package registers; there are broken, email, gone, loud, page, webhook, webpush."),
    ],
)
def test_plug_in_that_does_not_load_is_named_with_its_reason(plug_ins, name, sentence):
    with pytest.raises(ConfigurationError) as caught:
        load_notifiers({name: {}}, lambda _name, _file: "")
    assert caught.value.message == sentence


def test_pages_have_no_options():
    with pytest.raises(ConfigurationError, match="has no options"):
        load_notifiers({"page": {"colour": "red"}}, lambda _name, _file: "")
