"""Invoices over REST: for admins, each act with its right and its refusal."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from aiplatform_hub.domain.billing import Drafting, Tally, drafted, lines_of
from aiplatform_hub.domain.invoices import issued
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.invoices import InvoiceStore
from tests.domain.test_invoice_lines import charge
from tests.support.billing import CENTRES, UNIVERSITY
from tests.support.hub import ADMIN, wait_for

MONTH = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def stored(place):
    """An issued invoice and a draft, as an installation with legal entities has them."""
    database, store = Database(url=place.settings.resolved_database_url), InvoiceStore()
    tally = Tally(MONTH)
    tally.add(charge(3_600_000_000, units=10, price="3.20", month=MONTH))
    made = []
    for centre in ("lab", "library"):
        drafting = Drafting(uuid4(), MONTH, "bea", 1, "0" * 64)
        made.append(drafted(UNIVERSITY, CENTRES[centre], own=tally, period_end=MONTH.replace(month=2), lines=lines_of(tally, [], {}, 2), drafting=drafting))
    with database.write() as connection:
        for one in made:
            store.insert(connection, one)
        store.move_on(connection, issued(made[0], number="UE-2026-00001", at=MONTH.replace(month=2), by="bea"))
    database.close()
    return str(made[0].id), str(made[1].id)


def test_admin_reads_pays_and_is_told_what_does_not_go(place, stored):
    issued_id, draft_id = stored
    listed = place.call("GET", "invoices?month=2026-01", user=ADMIN).json()
    assert [(one["id"], one["state"], one["number"], one["total"]) for one in listed["items"]] == [
        (issued_id, "issued", "UE-2026-00001", "38.08"),
        (draft_id, "draft", None, "38.08"),
    ]
    assert place.call("GET", "invoices?limit=1", user=ADMIN).json()["next_cursor"] == "1"
    assert [one["id"] for one in place.call("GET", "invoices?state=draft&cost_centre=library", user=ADMIN).json()["items"]] == [draft_id]
    assert place.call("GET", f"invoices/{issued_id}", user=ADMIN).json()["lines"][0]["amount"] == "32.00"
    paid = place.call("POST", f"invoices/{issued_id}/payment", user=ADMIN, json={"reference": "SEPA 1"})
    assert (paid.status_code, paid.json()["state"], paid.json()["payment_reference"]) == (200, "paid", "SEPA 1")
    (message,) = place.call("GET", f"invoices/{issued_id}/hand-overs", user=ADMIN).json()["items"]
    assert (message["event"], message["delivered_at"]) == ("paid", None)
    credit = place.call("POST", f"invoices/{issued_id}/credit", user=ADMIN, json={"reason": "x"})
    assert (credit.status_code, "university is not in the catalogue any more" in credit.json()["detail"]) == (409, True)
    assert place.call("POST", f"invoices/{draft_id}/issue", user=ADMIN, json={}).status_code == 409
    text = place.call("GET", "invoices.csv?month=2026-01", user=ADMIN)
    assert text.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert [line.split(",")[0] for line in text.text.splitlines()] == ["number", "UE-2026-00001"]
    for name, media_type, start in (
        ("pdf", "application/pdf", b"%PDF-"),
        ("html", "text/html; charset=utf-8", b"<!doctype html>"),
        ("ubl", "application/xml", b"<?xml"),
        ("csv", "text/csv; charset=utf-8", b"number,kind"),
    ):
        file = place.call("GET", f"invoices/{issued_id}/document?format={name}", user=ADMIN)
        assert (file.status_code, file.headers["Content-Type"], file.content[: len(start)]) == (200, media_type, start), file.text
        how = "inline" if name == "html" else "attachment"
        assert file.headers["Content-Disposition"].startswith(f'{how}; filename="UE-2026-00001.')
        assert file.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert ("style-src 'sha256-" in file.headers["Content-Security-Policy"]) == (name == "html")
    refused = place.call("GET", f"invoices/{draft_id}/document?format=ubl", user=ADMIN)
    assert (refused.status_code, "it is a draft; issue it first" in refused.json()["detail"]) == (409, True)
    assert place.call("GET", f"invoices/{issued_id}/document?format=doc", user=ADMIN).status_code == 400
    assert place.call("GET", f"invoices/{uuid4()}/document", user=ADMIN).status_code == 404
    for path, body, status, said in (
        ("invoices", {"month": "2999-01"}, 409, "2999-01 is not over"),
        ("invoices", {"month": "soon"}, 400, "not a month"),
        (f"invoices/{uuid4()}/payment", {}, 404, "There is no invoice"),
        ("invoices/x/credit", {"reason": "x"}, 404, "There is no invoice x"),
        (f"invoices/{issued_id}/credit", {"reason": "x", "lines": [{"position": 9}]}, 400, "There is no line 9 on invoice UE-2026-00001"),
        (f"invoices/{issued_id}/credit", {"reason": "x", "lines": [{"position": 1, "amount": "some"}]}, 400, "Write amounts as decimal strings"),
        (f"invoices/{issued_id}/credit", {"reason": "x", "lines": [{"position": 1, "amount": "32.01"}]}, 400, "can be given back 32.00 or less"),
        (f"invoices/{issued_id}/credit", {"reason": "x", "lines": [{"line": 1}]}, 400, "lines.0.position: Field required. There is no option lines.0.line."),
        (f"invoices/{issued_id}/payment", {}, 409, "is paid; only an issued one can be paid"),
    ):
        answer = place.call("POST", path, user=ADMIN, json=body)
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert place.call("GET", "invoices?state=lost", user=ADMIN).status_code == 400
    assert place.call("DELETE", f"invoices/{issued_id}", user=ADMIN).status_code == 409
    assert place.call("DELETE", f"invoices/{draft_id}", user=ADMIN).status_code == 204
    assert place.call("GET", f"invoices/{draft_id}", user=ADMIN).status_code == 404


def test_nobody_else_may_and_the_audit_trail_says_so(place, stored):
    issued_id, _ = stored
    limited = place.token(ADMIN, "read:servers", "access:services!service=platform")
    for method, path, body in (
        ("GET", "invoices", None),
        ("GET", f"invoices/{issued_id}", None),
        ("GET", f"invoices/{issued_id}/hand-overs", None),
        ("GET", f"invoices/{issued_id}/document", None),
        ("GET", "invoices.csv", None),
        ("POST", "invoices", {"month": "2026-01"}),
        ("POST", f"invoices/{issued_id}/issue", {}),
        ("POST", f"invoices/{issued_id}/payment", {}),
        ("POST", f"invoices/{issued_id}/credit", {"reason": "x"}),
        ("DELETE", f"invoices/{issued_id}", None),
    ):
        answer = place.call(method, path, user="user1", json=body)
        assert answer.status_code == 403, f"{method} {path}: {answer.text}"
        if method != "GET":
            action = f"{method} /services/platform/api/v1/{path}"[:64]
            assert wait_for(lambda action=action: any((e.action, e.actor, e.outcome) == (action, "user1", "refused") for e in place.audit()), action)
            assert place.call(method, path, token=limited, json=body).status_code == 403, "a token that reads only does nothing"
