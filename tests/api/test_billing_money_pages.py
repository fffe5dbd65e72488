"""Giving back part of an invoice on its page, and chargeback as billing viewers find it."""

from __future__ import annotations

import re

import pytest

from tests.api.test_billing_pages import STUDENT, asked, form, place
from tests.support.page_server import ADMIN, PREFIX, VIEWER

__all__ = ["place"]


def plain(body: str) -> str:
    """Return a page with spaces where amounts may not be broken."""
    return body.replace("\xa0", " ").replace("&nbsp;", " ")


def test_an_admin_gives_back_part_of_an_invoice_and_sees_the_total_before(place) -> None:
    server, issued = place
    page = f"billing/invoices/{issued.id}"
    assert (f"{PREFIX}{page}/credit" in server.get(page, ADMIN).body, f"{PREFIX}{page}/credit" in server.get(page, VIEWER).body) == (True, False)
    for who in (VIEWER, STUDENT):
        assert server.get(f"{page}/credit", who).status == 404, who
        assert form(server, f"{page}/credit", who, **{"line-1": "4.80", "seen_total": "5.71", "reason": "x"})[0] == 404, who
    empty = server.get(f"{page}/credit", ADMIN)
    assert (empty.status, "44.80 EUR" in plain(empty.body), "Issue the credit note" in empty.body) == (200, True, False)
    for asked_for, said in (({"line-1": "much"}, "Write amounts with a point"), ({"line-1": "44.81"}, "can be given back"), ({"line-9": "1"}, "no line 9")):
        query = "&".join(f"{name}={value}" for name, value in asked_for.items())
        refused = server.get(f"{page}/credit?{query}", ADMIN)
        assert (refused.status, said in refused.body) == (400, True), refused.body
    shown = plain(server.get(f"{page}/credit?line-1=4.80", ADMIN).body)
    assert "Issue the credit note over 5.71 EUR" in shown, "4.80 and 19 %"
    fields = dict(re.findall(r'<input type="hidden" name="((?:line|seen)[^"]+)" value="([^"]+)"', shown))
    assert fields == {"line-1": "4.80", "seen_total": "5.71"}
    for change, status, said in (
        ({"reason": " "}, 400, "Say why"),
        ({"reason": "x", "seen_total": "5.70"}, 409, "Look at the total again"),
        ({"reason": "x", "line-1": ""}, 400, "Name the lines"),
        ({"reason": "x", "seen_total": ""}, 400, "Write amounts with a point"),
    ):
        refused = form(server, f"{page}/credit", ADMIN, **{**fields, **change})
        assert (refused[0], said in refused[2]) == (status, True), (change, refused[2])
    assert len(asked(server, "invoices", ADMIN)["items"]) == 1, "a refusal writes nothing"
    status, where, _ = form(server, f"{page}/credit", ADMIN, **fields, reason="An outage <b>")
    assert (status, where != PREFIX + page) == (303, True)
    note = plain(server.get(where.removeprefix(PREFIX), VIEWER).body)
    assert ("An outage &lt;b&gt;" in note, "Gives back part of" in note, "5.71 EUR" in note) == (True, True, True)
    assert f"{where}/credit" not in server.get(where.removeprefix(PREFIX), ADMIN).body, "a credit note is not given back"
    assert server.get(f"{where.removeprefix(PREFIX)}/credit", ADMIN).status == 409
    left = plain(server.get(f"{page}/credit", ADMIN).body)
    assert "40.00 EUR" in left
    (everything,) = re.findall(r'href="([^"]+credit\?line-1=40.00)#total"', left)
    rest = server.get(everything.removeprefix(PREFIX), ADMIN).body
    assert "Nothing of the invoice is left then" in rest
    fields = dict(re.findall(r'<input type="hidden" name="((?:line|seen)[^"]+)" value="([^"]+)"', rest))
    assert form(server, f"{page}/credit", ADMIN, **fields, reason="all of it")[0] == 303
    assert asked(server, f"invoices/{issued.id}", ADMIN)["state"] == "void"
    assert server.get(f"{page}/credit", ADMIN).status == 409


@pytest.mark.parametrize("who", [VIEWER, ADMIN])
def test_who_reads_billing_reads_chargeback_and_what_it_is_made_of(place, who) -> None:
    server, _ = place
    assert f"{PREFIX}billing/chargeback" in server.get("billing", who).body
    found = server.get("billing/chargeback?month=2026-01", who)
    assert (found.status, "Lab &lt;b&gt;" in found.body, "44.80 EUR" in plain(found.body), "admin/" in found.body and who == VIEWER) == (200, True, True, False)
    assert "cost_centre" in server.get("billing/chargeback.csv?month=2026-01", who).body
    assert f"{PREFIX}billing/chargeback.csv?month=2026-01" in found.body
    assert f"{PREFIX}billing/chargeback?month=2025-12" in found.body
    centre = server.get("billing/chargeback/centre?month=2026-01&name=lab", who)
    assert (centre.status, plain(centre.body).count("44.80 EUR"), "ada" in centre.body, "UE-2026" in centre.body) == (200, 4, True, True), centre.body
    for path in ("billing/chargeback?month=x", "billing/chargeback.csv?month=2999-01", "billing/chargeback/centre?month=x&name=lab"):
        assert server.get(path, who).status == 400, path
    assert server.get("billing/chargeback/centre?month=2026-01&name=nobody", who).status == 404


def test_nobody_else_reads_it(place) -> None:
    server, _ = place
    for path in ("billing/chargeback?month=2026-01", "billing/chargeback.csv?month=2026-01", "billing/chargeback/centre?month=2026-01&name=lab"):
        assert server.get(path, STUDENT).status == 404, path
