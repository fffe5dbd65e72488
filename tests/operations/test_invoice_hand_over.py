"""The accounting gets each message in order, with the same id and bytes until it takes it, and none is given up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aiplatform_hub.domain.notices import DeliveryError, RefusedDeliveryError
from aiplatform_hub.operations.invoice_hand_over import InvoiceHandOver
from tests.support.billing import Office

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Books:
    def __init__(self) -> None:
        self.taken: list[tuple[bytes, str]] = []
        self.tried: list[tuple[bytes, str]] = []
        self.error: Exception | None = None

    def send(self, body, headers) -> None:
        self.tried.append((body, headers["X-AIPlatform-Event"]))
        if self.error:
            raise self.error
        self.taken.append(self.tried[-1])


def test_messages_wait_for_each_other_and_are_the_same_in_every_try(database, tmp_path) -> None:
    office, books = Office(database, tmp_path), Books()
    hand_over = InvoiceHandOver(database=database, outbox=office.outbox, posts={"university": books}, clock=office.clock)
    assert hand_over.legal_entities == ("university",)
    assert not hand_over.pass_on("university")
    office.usual_november()
    issued = office.issued("lab")
    office.issued("library")
    for error in (*[DeliveryError("The receiver answered 503.")] * 30, RefusedDeliveryError("The receiver answered 400.")):
        books.error = error
        assert not hand_over.pass_on("university")
        assert not hand_over.pass_on("university"), "it is not tried again before its time"
        office.now += timedelta(hours=1)
    assert len(books.tried) == 31
    assert len(set(books.tried)) == 1, "the second message waits, and the first stays as it is"
    (message,) = office.invoices.hand_overs(issued.id)
    assert (message.attempts, message.error, message.delivered_at) == (31, "The receiver answered 400.", None)
    books.error = None
    assert hand_over.pass_on("university")
    assert hand_over.pass_on("university")
    assert not hand_over.pass_on("university")
    assert books.taken[0] == books.tried[0]
    assert len({event for _, event in books.taken}) == 2
    (message,) = office.invoices.hand_overs(issued.id)
    assert (message.error, message.next_at, message.delivered_at) == (None, None, office.now)


def test_what_breaks_while_it_is_sent_waits_like_a_refusal(database, tmp_path) -> None:
    office, books = Office(database, tmp_path), Books()
    hand_over = InvoiceHandOver(database=database, outbox=office.outbox, posts={"university": books}, clock=office.clock)
    office.usual_november()
    issued = office.issued("lab")
    books.error = UnicodeError("label too long")
    assert not hand_over.pass_on("university")
    assert not hand_over.pass_on("university")
    (message,) = office.invoices.hand_overs(issued.id)
    assert (message.attempts, message.error, len(books.tried)) == (1, "UnicodeError while it was sent.", 1)
