"""Billing as a viewer, an admin and a student find it: by pages, REST and file, over a month that was drafted and issued."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from click.testing import CliRunner

from aiplatform_hub.cli.main import main
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.invoices import Invoice
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.migrate import upgrade
from tests.support.billing import Office
from tests.support.page_server import ACCOUNTING, ADMIN, PREFIX, VIEWER, PageServer, page_server

ENTITIES = 'uni: {display_name: Uni, address: [Hauptstrasse 1], country: DE, number_prefix: UE-, currency: EUR, tax_id: DE1, tax_percent: "19"}'
CENTRES = 'lab: {display_name: Lab <b>, legal_entity: uni, code: "4711"}'
STUDENT = "user3"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PageServer, Invoice]]:
    folder: Path = tmp_path_factory.mktemp("billing")
    catalog = folder / "catalog"
    catalog.mkdir()
    (catalog / "legal_entities.yaml").write_text(ENTITIES)
    (catalog / "cost_centres.yaml").write_text(CENTRES)
    settings = Settings(data_dir=folder, catalog_dirs=(catalog,), database_url=f"sqlite:///{folder / 'platform.sqlite'}")
    upgrade(settings.resolved_database_url)
    factory = Factory(settings)
    database = Database(url=settings.resolved_database_url)
    office = Office(database, folder)
    office.used("lab", datetime(2026, 1, 5, tzinfo=UTC), 10)
    office.used("lab", datetime(2026, 1, 7, 22, tzinfo=UTC), 4)
    database.close()
    (draft,) = factory.invoices.draft("2026-01", by="bea").invoices
    (issued,) = factory.invoices.issue([draft.id], by="bea")
    with page_server(settings, factory) as server:
        yield server, issued
    factory.close()


def form(server: PageServer, path: str, who: str, **fields: str) -> tuple[int, str, str]:
    """Send a form as a page does; return status, address that it leads to, and body."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {who}", "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", PREFIX + path, urlencode(fields), headers)
        response = connection.getresponse()
        body = response.read().decode()
        return response.status, response.getheader("Location", ""), body
    finally:
        connection.close()
        server.spent.get(timeout=30)


def asked(server: PageServer, path: str, who: str) -> dict:
    answer = server.get(f"api/v1/{path}", who)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_a_viewer_goes_from_the_month_to_the_single_session(place) -> None:
    server, issued = place
    months = server.get("billing", VIEWER)
    assert (months.status, "January 2026" in months.body, "UE-" in months.body, "Lab &lt;b&gt;" in months.body) == (200, True, True, True)
    page = f"billing/invoices/{issued.id}"
    for path, said in (
        (page, f"{page}/lines/1"),
        (f"{page}/lines/1", "44.80"),
        (f"{page}/lines/1", "Dispute this line"),
        (f"{page}/file?format=csv", issued.number),
        (f"{page}/file?format=json", issued.number),
        (f"{page}/file?format=html", issued.number),
    ):
        answer = server.get(path, VIEWER)
        assert (answer.status, said in answer.body) == (200, True), f"{path}: {answer.body[:3000]}"
    found = asked(server, f"invoices/{issued.id}/lines/1/sessions?limit=1", VIEWER)
    assert (found["count"], found["total"], found["line_amount"], found["invoiced_before"], found["next_cursor"]) == (
        *(2, "44.800000", "44.80", "0.000000"),
        "1",
    )
    (first,) = found["items"]
    assert (first["user"], first["amount"], first["quantity"]) == ("ada", "32.000000", "10.000000")
    (second,) = asked(server, f"invoices/{issued.id}/lines/1/sessions?cursor=1", VIEWER)["items"]
    charges = asked(server, f"invoices/{issued.id}/lines/1/sessions/{second['allocation_id']}", VIEWER)["items"]
    assert [(one["start"][:10], one["amount"], one["is_in_line"]) for one in charges] == [("2026-01-07", "6.400000", True), ("2026-01-08", "6.400000", True)]
    session = f"{page}/lines/1/sessions/{second['allocation_id']}"
    answer = server.get(session, VIEWER)
    assert (answer.status, "12.80" in answer.body, "own page" in answer.body) == (200, True, False)
    assert "own page" in server.get(session, ADMIN).body, "only who may see the session is led there"
    assert server.get(f"sessions/{second['allocation_id']}", VIEWER).status == 404, "what is billed is theirs to see, the session itself is not"


def test_what_is_not_there_is_not_found(place) -> None:
    server, issued = place
    page = f"invoices/{issued.id}"
    missing = (f"invoices/{uuid4()}", f"{page}/lines/9", f"{page}/lines/1/sessions/{uuid4()}", f"{page}/lines/9/sessions/{uuid4()}")
    assert [server.get(f"billing/{path}", VIEWER).status for path in missing] == [404] * 4
    rest = (f"{page}/lines/x/sessions", f"{page}/lines/9/sessions", f"{page}/lines/1/sessions/x", "disputes/x", "disputes?invoice_id=x")
    assert [server.get(f"api/v1/{path}", VIEWER).status for path in rest] == [404] * 5
    wrong = ("billing?before=soon", f"billing/{page}/file?format=doc", "api/v1/disputes?state=lost", f"api/v1/{page}/lines/1/sessions?limit=0")
    assert [server.get(path, VIEWER).status for path in wrong] == [400] * 4
    assert [one["number"] for one in asked(server, f"invoices?number={issued.number}", VIEWER)["items"]] == [issued.number]


def test_a_student_finds_nothing_and_a_viewer_changes_nothing_else(place) -> None:
    server, issued = place
    page = f"billing/invoices/{issued.id}"
    for path in ("billing", page, f"{page}/file", f"{page}/lines/1"):
        assert server.get(path, STUDENT).status == 404, path
    assert "billing" not in server.get("usage", STUDENT).body
    assert f"{PREFIX}billing" in server.get("usage", VIEWER).body
    assert form(server, f"{page}/lines/1/disputes", STUDENT, text="x")[0] == 404
    assert form(server, f"{page}/lines/1/disputes", ADMIN, text="x")[0] == 403, "an admin answers; to dispute they need the role"
    for who in (STUDENT, VIEWER):
        for path, body in ((f"{issued.id}/issue", {}), (f"{issued.id}/payment", {}), (f"{issued.id}/credit", {"reason": "x"}), ("", {"month": "2026-01"})):
            assert server.post(f"api/v1/invoices/{path}".rstrip("/"), who, body).status == 403, (who, path)
    for who in (STUDENT, ADMIN):
        assert server.post(f"api/v1/invoices/{issued.id}/lines/1/disputes", who, {"text": "x"}).status == 403, who
    for path in (f"invoices/{issued.id}", f"invoices/{issued.id}/lines/1/sessions", "disputes"):
        assert server.get(f"api/v1/{path}", STUDENT).status == 403, path
    assert server.get("admin", VIEWER).status == 404
    assert server.get("api/v1/audit", VIEWER).status == 403


def test_a_viewer_reads_reports_and_budgets_of_everybody(place) -> None:
    server, _ = place
    report = "reports?month=2026-01&group_by=user&format=json"
    assert [row["keys"]["user"] for row in asked(server, report, VIEWER)["rows"]] == ["ada"]
    assert asked(server, report, STUDENT)["rows"] == []
    assert server.get(f"api/v1/{report}&user=ada", STUDENT).status == 404
    assert asked(server, f"{report}&user=ada", VIEWER)["rows"] == asked(server, report, VIEWER)["rows"]
    body = {"scope": "cost_centre", "name": "lab", "amount": "100", "currency": "EUR", "reason": "year"}
    assert server.post("api/v1/budgets", VIEWER, body).status == 403
    assert server.post("api/v1/budgets", ADMIN, body).status == 201
    assert [one["name"] for one in asked(server, "budgets", VIEWER)["items"]] == ["lab"]
    assert asked(server, "budgets", STUDENT)["items"] == []
    assert "Cost centre Lab &lt;b&gt;" in server.get("billing", VIEWER).body
    everybody = {who: server.get("usage?who=everybody", who).body for who in (VIEWER, STUDENT)}
    assert {who: "of everybody</h1>" in body for who, body in everybody.items()} == {VIEWER: True, STUDENT: False}
    file = "usage/report?who=everybody&format=csv&group_by=user&first_day=2026-01-01&last_day=2026-01-31"
    assert {who: "ada" in server.get(file, who).body for who in (VIEWER, STUDENT)} == {VIEWER: True, STUDENT: False}


def test_a_program_reads_what_is_billed_and_nothing_else(place) -> None:
    server, issued = place
    page = f"invoices/{issued.id}"
    for path in ("invoices", page, "invoices.csv", f"{page}/lines/1/sessions", "disputes", "reports?month=2026-01", "budgets", "costs"):
        assert server.get(f"api/v1/{path}", ACCOUNTING).status == 200, path
    for path in ("allocations", "queue", "catalog", "people", "audit", "users/ada/quota"):
        assert server.get(f"api/v1/{path}", ACCOUNTING).status == 403, path
    for path, body in ((f"{page}/lines/1/disputes", {"text": "x"}), (f"{page}/issue", {}), ("budgets", {})):
        assert server.post(f"api/v1/{path}", ACCOUNTING, body).status == 403, path


def test_a_dispute_is_opened_on_the_page_answered_on_the_page_and_both_are_told(place) -> None:
    server, issued = place
    line = f"billing/invoices/{issued.id}/lines/1"
    status, _, body = form(server, f"{line}/disputes", VIEWER, text=" ")
    assert (status, "the text is empty" in body) == (400, True), "the page says what is wrong"
    status, where, _ = form(server, f"{line}/disputes", VIEWER, text="Twice?\n<b>Look</b>")
    assert (status, where.split("#")[0]) == (303, PREFIX + line)
    dispute = f"billing/disputes/{where.partition('#thread-')[2]}"
    shown = server.get(line, VIEWER).body
    assert ("&lt;b&gt;Look" in shown, "Dispute this line" in shown, "Withdraw it" in shown, "Your answer" in shown) == (True, False, True, False)
    assert form(server, f"{line}/disputes", VIEWER, text="Again")[0] == 409
    assert f"{VIEWER} disputes line 1" in server.get("home", ADMIN).body
    assert "1 dispute open" in server.get("billing", ADMIN).body
    assert "Your answer" in server.get(line, ADMIN).body
    assert form(server, f"{dispute}/answer", VIEWER, text="Mine")[0] == 403
    assert form(server, f"{dispute}/answer", STUDENT, text="Mine")[0] == 404
    assert form(server, f"{dispute}/answer", ADMIN, text="Once.")[0] == 303
    assert f"{ADMIN} answered your dispute of line 1" in server.get("home", VIEWER).body
    assert [one["state"] for one in asked(server, "disputes?state=answered", VIEWER)["items"]] == ["answered"]
    assert form(server, f"{dispute}/reply", VIEWER, text="Still.")[0] == 303
    id_ = dispute.rpartition("/")[2]
    assert server.post(f"api/v1/disputes/{id_}/answer", ADMIN, {"text": "Once, really."}).status == 200
    assert server.post(f"api/v1/disputes/{id_}/withdraw", VIEWER, {}).status == 200
    assert [entry["text"] for entry in asked(server, f"disputes/{id_}", VIEWER)["entries"]] == ["Twice?\n<b>Look</b>", "Once.", "Still.", "Once, really.", ""]
    assert server.post(f"api/v1/disputes/{id_}/reply", VIEWER, {"text": "x"}).status == 409
    again = server.post(f"api/v1/invoices/{issued.id}/lines/1/disputes", VIEWER, {"text": "Another matter."})
    assert again.status == 201, "a new one may be opened when the first is over"


def test_the_command_does_the_same(place) -> None:
    server, issued = place

    def typed(who: str, *words: str, code: int = 0) -> str:
        environment = {"AIPLATFORM_URL": f"http://127.0.0.1:{server.port}", "AIPLATFORM_TOKEN": who}
        done = CliRunner().invoke(main, ["disputes", *words], env=environment)
        assert done.exit_code == code, done.output
        return done.output

    listed = typed(VIEWER, "sessions", issued.number, "1")
    assert "32.000000" in listed
    assert "All: 44.800000 EUR; on the line: 44.80 EUR" in listed
    for one in json.loads(typed(VIEWER, "list", "--json")):
        if one["state"] != "withdrawn":
            typed(VIEWER, "withdraw", one["id"])
    opened = json.loads(typed(VIEWER, "open", str(issued.id), "1", "--text", "By hand", "--json"))
    typed(ADMIN, "answer", opened["id"], "--text", "Fine")
    assert "Once more" in typed(VIEWER, "reply", opened["id"], "--text", "Once more")
    assert f"{issued.number}, line 1: open" in typed(VIEWER, "show", opened["id"])
    assert opened["id"] in typed(ADMIN, "list", "--state", "open")
    assert "custom:aiplatform:billing:read" in typed(STUDENT, "list", code=1)
    assert "There is no invoice UE-1" in typed(VIEWER, "open", "UE-1", "1", "--text", "x", code=1)
