"""Notices by e-mail, through an SMTP server."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from aiplatform_hub.clients.notifiers.options import Options, checked
from aiplatform_hub.domain.notices import DeliveryError, Message, RefusedDeliveryError, address_of
from aiplatform_hub.errors import ConfigurationError

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_PERMANENT = range(500, 600)
_LOG = logging.getLogger(__name__)


class EmailOptions(Options):
    """Where mails go out, and how."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int | None, Field(ge=1, le=65535)] = None
    """The usual one of ``security`` by default."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    """Who logs in, with the secret as password; nobody by default."""
    sender: Annotated[str, Field(alias="from", pattern=r"^[^@\s]+@[^@\s]+$")]
    email_domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]*$")] = ""
    """Gives an address to people whose user name is none."""
    timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    ca_file: str = ""
    """Certificates that the server's is checked against; the system's by default."""


def make(options: Mapping[str, Any], secret: str) -> EmailNotifier:
    """Return the notifier.

    Raises
    ------
    ConfigurationError
        If something of the options is wrong.
    """
    known, place = checked(EmailOptions, "email", options), "c.AIPlatform.notifiers['email']"
    if known.user and not secret:
        raise ConfigurationError(f"{place} names a user but has no password: set AIPLATFORM_NOTIFIER_EMAIL_SECRET, or the option 'secret_file'.")
    if known.user and known.security == "none":
        raise ConfigurationError(f"{place} would send a password unencrypted: set its option 'security' to 'starttls' or 'tls'.")
    return EmailNotifier(known, secret)


class EmailNotifier:
    """Sends one mail for each notice."""

    def __init__(self, options: EmailOptions, password: str) -> None:
        self._options = options
        self._password = password
        self._has_told = False
        try:
            self._tls = ssl.create_default_context(cafile=options.ca_file or None)
        except OSError as error:
            raise ConfigurationError(f"c.AIPlatform.notifiers['email']['ca_file'] cannot be read: {options.ca_file}: {error.strerror or error}.") from error

    def deliver(self, message: Message) -> None:
        """Send the mail.

        Raises
        ------
        DeliveryError
            If the server is away or does not take it.
        """
        address = address_of(message.user_name, self._options.email_domain)
        if address is None:
            if not self._has_told:
                self._has_told = True
                _LOG.warning("Somebody gets no mail: their user name is no e-mail address, and c.AIPlatform.notifiers['email'] has no usable email_domain")
            raise RefusedDeliveryError("No e-mail address is known.")
        try:
            self._send(self._mail(message, address))
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            raise (RefusedDeliveryError if code in _PERMANENT else DeliveryError)(f"The SMTP server refused the recipient: {code}.") from error
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(f"The SMTP server answered {error.smtp_code}.") from error
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(f"{self._options.host} did not take the mail: {type(error).__name__}.") from error

    def _send(self, mail: EmailMessage) -> None:
        options = self._options
        port = options.port or _PORTS[options.security]
        wait = float(options.timeout_seconds)
        with (
            smtplib.SMTP_SSL(options.host, port, timeout=wait, context=self._tls)
            if options.security == "tls"
            else smtplib.SMTP(options.host, port, timeout=wait)
        ) as server:
            if options.security == "starttls":
                server.starttls(context=self._tls)
            if options.user:
                server.login(options.user, self._password)
            server.send_message(mail)

    def _mail(self, message: Message, address: str) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self._options.sender, address
        mail["Subject"] = message.subject
        mail["Date"] = format_datetime(message.at)
        domain = self._options.sender.rpartition("@")[2]
        mail["Message-ID"] = f"<notice-{message.id}-{int(message.at.timestamp())}@{domain}>"  # the same in each try: a repetition can be told
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content("\n".join([*message.sentences, *(("", message.link) if message.link else ()), ""]))
        return mail
