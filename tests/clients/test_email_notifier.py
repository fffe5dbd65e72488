"""Mail against a real SMTP server: encryption, login, what it looks like, and what goes wrong."""

from __future__ import annotations

import email
import email.policy
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from aiplatform_hub.clients.notifiers.email import make
from aiplatform_hub.domain.notices import DeliveryError, Message, RefusedDeliveryError
from aiplatform_hub.errors import ConfigurationError

MESSAGE = Message(
    id=7,
    at=datetime(2026, 11, 28, 12, tzinfo=UTC),
    kind="turn_came",
    user_name="ada",
    subject="Your turn has come: PyTorch (train)",
    sentences=("PyTorch (train) is running; 2 × NVIDIA H100 are yours.", "Open it by 2026-11-28 12:15 UTC (+00:00)."),
    link="https://gpu.example.org/services/platform/sessions/x",
    allocation_id=UUID(int=1),
    detail={},
)
PASSWORD = "correct horse battery"


class Mailbox:
    """Takes mail, or answers as it is told."""

    def __init__(self) -> None:
        self.mails: list = []
        self.envelopes: list = []
        self.answer = "250 OK"
        self.encrypted: list[bool] = []
        self.logins: list[str] = []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - its name there
        if not self.answer.startswith("250"):
            return self.answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - its name there
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.encrypted.append(session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)


class StartTls(Controller):
    """A server that takes mail only after STARTTLS and a login."""

    def factory(self):
        return SMTP(
            self.handler,
            hostname="localhost",
            tls_context=self.tls,
            require_starttls=True,
            auth_required=True,
            auth_require_tls=True,
            authenticator=self.handler.authenticate,
        )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smtp")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
def plain(mailbox):
    with running(Controller(mailbox, hostname="127.0.0.1", port=free_port())) as server:
        yield server


@pytest.fixture
def starttls(mailbox, certificate):
    server = StartTls(mailbox, hostname="localhost", port=free_port())
    server.tls = certificate[1]
    with running(server):
        yield server


class running:  # noqa: N801 - reads as a word
    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.server.start()
        return self.server

    def __exit__(self, *_):
        self.server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def options(server, **more):
    return {"host": server.hostname, "port": server.port, "from": "hub@example.org", "email_domain": "example.org", **more}


def test_mail_goes_to_the_person_with_all_that_is_said(plain, mailbox):
    make(options(plain, security="none"), "").deliver(MESSAGE)
    (mail,) = mailbox.mails
    assert mailbox.envelopes == [("hub@example.org", ["ada@example.org"])]
    assert (mail["From"], mail["To"], mail["Subject"], mail["Auto-Submitted"]) == ("hub@example.org", "ada@example.org", MESSAGE.subject, "auto-generated")
    text = mail.get_content()
    assert all(part in text for part in (*MESSAGE.sentences, MESSAGE.link))
    make(options(plain, security="none"), "").deliver(MESSAGE)
    assert mailbox.mails[1]["Message-ID"] == mail["Message-ID"], "who gets a repetition can tell"


def test_starttls_and_login(starttls, mailbox, certificate):
    make(options(starttls, user="hub", ca_file=str(certificate[0])), PASSWORD).deliver(MESSAGE)
    assert (len(mailbox.mails), mailbox.logins) == (1, ["hub"])


def test_tls_from_the_first_byte(mailbox, certificate):
    server = Controller(mailbox, hostname="localhost", port=free_port(), ssl_context=certificate[1])
    with running_tls(server, certificate):
        make(options(server, security="tls", ca_file=str(certificate[0])), "").deliver(MESSAGE)
    assert mailbox.encrypted == [True]


class running_tls(running):  # noqa: N801 - reads as a word
    """Its own check of readiness does not trust a certificate of our own."""

    def __init__(self, server, certificate):
        super().__init__(server)
        server._trigger_server = lambda: (
            ssl.create_default_context(cafile=certificate[0])
            .wrap_socket(socket.create_connection((server.hostname, server.port)), server_hostname="localhost")
            .recv(100)
        )


def test_certificate_that_nobody_vouches_for_is_refused(starttls, mailbox):
    with pytest.raises(DeliveryError, match="SSLCertVerificationError"):
        make(options(starttls, user="hub"), PASSWORD).deliver(MESSAGE)
    assert mailbox.logins == [], "the password was not sent"


def test_wrong_password_is_tried_again_and_said_nowhere(starttls, certificate):
    with pytest.raises(DeliveryError) as caught:
        make(options(starttls, user="hub", ca_file=str(certificate[0])), "wrong-password").deliver(MESSAGE)
    assert "535" in caught.value.message
    assert not caught.value.is_final
    assert "wrong-password" not in caught.value.message


def test_server_without_starttls_gets_nothing(plain, mailbox):
    with pytest.raises(DeliveryError, match="SMTPNotSupportedError"):
        make(options(plain), "").deliver(MESSAGE)
    assert mailbox.mails == []


@pytest.mark.parametrize(("answer", "is_final"), [("550 no such person", True), ("451 later", False)])
def test_refused_recipient_is_final_only_if_the_server_says_so(plain, mailbox, answer, is_final):
    mailbox.answer = answer
    with pytest.raises(DeliveryError) as caught:
        make(options(plain, security="none"), "").deliver(MESSAGE)
    assert caught.value.is_final is is_final


def test_server_that_is_away_is_tried_again():
    with pytest.raises(DeliveryError, match="did not take the mail: ConnectionRefusedError"):
        make({"host": "127.0.0.1", "port": free_port(), "security": "none", "from": "hub@example.org", "email_domain": "example.org"}, "").deliver(MESSAGE)


def test_server_that_says_nothing_is_left_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {"host": "127.0.0.1", "port": silent.getsockname()[1], "security": "none", "from": "hub@example.org", "email_domain": "example.org"}
        done = threading.Event()

        def deliver():
            with pytest.raises(DeliveryError, match="SMTPServerDisconnected"):
                make({**settings, "timeout_seconds": 1}, "").deliver(MESSAGE)
            done.set()

        threading.Thread(target=deliver, daemon=True).start()
        assert done.wait(30)


def test_person_without_an_address_gets_no_mail_and_the_log_says_it_once(plain, mailbox, caplog):
    notifier = make({key: value for key, value in options(plain, security="none").items() if key != "email_domain"}, "")
    for _ in range(3):
        with pytest.raises(RefusedDeliveryError):
            notifier.deliver(MESSAGE)
    assert caplog.text.count("gets no mail") == 1
    assert mailbox.mails == []


@pytest.mark.parametrize(
    ("changes", "secret", "sentence"),
    [
        ({"host": None}, "", "lacks the option 'host'"),
        ({"hosst": "x"}, "", "has no option 'hosst'; it has host, port, security, user, from, email_domain, timeout_seconds, ca_file, and secret_file."),
        ({"password": "hunter2"}, "", "has no option 'password'"),
        ({"port": 0}, "", "['port'] is not right"),
        ({"port": "25"}, "", "['port'] is not right"),
        ({"security": "ssl"}, "", "['security'] is not right: Input should be 'starttls', 'tls' or 'none'."),
        ({"from": "nobody"}, "", "['from'] is not right"),
        ({"timeout_seconds": 0}, "", "['timeout_seconds'] is not right"),
        ({"user": "hub"}, "", "names a user but has no password: set AIPLATFORM_NOTIFIER_EMAIL_SECRET"),
        ({"user": "hub", "security": "none"}, "secret", "would send a password unencrypted"),
        ({"ca_file": "/nowhere.pem"}, "", "['ca_file'] cannot be read: /nowhere.pem"),
    ],
)
def test_bad_options_are_one_sentence(changes, secret, sentence):
    given = {"host": "smtp.example.org", "from": "hub@example.org"} | changes
    with pytest.raises(ConfigurationError) as caught:
        make({key: value for key, value in given.items() if value is not None}, secret)
    assert sentence in caught.value.message
    assert caught.value.message.startswith("c.AIPlatform.notifiers['email']")
    assert "\n" not in caught.value.message
    assert "hunter2" not in caught.value.message
