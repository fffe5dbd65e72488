"""What pages do when they are asked for what is not there, not theirs, or no address."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import quote
from uuid import uuid4

import pytest

from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from tests.api.test_billing_pages import form
from tests.support.hub import wait_for
from tests.support.page_server import ADMIN, PREFIX, PageServer, page_server, run_session

OWNER, OTHER = "user1", "user2"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("acts"))
    upgrade(settings.resolved_database_url)
    factory = Factory(settings)
    factory.enforcer.register_devices([], 64 * GIB, 16)
    with page_server(settings, factory) as started:
        yield started
    factory.close()


@pytest.mark.parametrize(("path", "said"), [("admin/move", "does not wait any more"), ("admin/move/undo", "does not wait any more")])
def test_what_no_longer_waits_is_not_said_to_have_been_moved(server: PageServer, path: str, said: str) -> None:
    status, leads_to, body = form(server, path, ADMIN, id=str(uuid4()), reason="an exam")
    assert (status, leads_to, said in body) == (404, "", True), body[:500]


@pytest.mark.parametrize(
    "back", ["//elsewhere.example/x", "https://elsewhere.example/", f"{PREFIX}home\x00", f"{PREFIX}home\x0bX: y", "http://[", "", "/hub/admin"]
)
@pytest.mark.parametrize("path", ["notifications/1/dismiss", "announcements/1/dismiss"])
def test_what_is_hidden_leads_back_to_pages_of_ours_alone(server: PageServer, path: str, back: str) -> None:
    assert form(server, path, OWNER, back=back)[:2] == (303, f"{PREFIX}home")


def test_what_is_hidden_leads_back_to_the_page_that_it_was_asked_from(server: PageServer) -> None:
    assert form(server, "notifications/1/dismiss", OWNER, back=f"{PREFIX}usage?period=day")[:2] == (303, f"{PREFIX}usage?period=day")


@pytest.mark.parametrize("path", ["notifications", "announcements"])
def test_page_that_a_script_names_wrongly_is_home(server: PageServer, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", PREFIX + path, headers={"Authorization": f"Bearer {OWNER}", "HX-Current-URL": "http://[/"})
    assert connection.getresponse().status == 200
    connection.close()
    server.spent.get(timeout=30)


def test_page_of_people_that_cannot_be_is_the_first(server: PageServer) -> None:
    for cursor in ("9" * 40, "-1", "x", quote("٣")):
        assert server.get(f"admin/people?cursor={cursor}", ADMIN).status == 200, cursor


def test_look_at_anothers_session_is_refused_as_if_there_were_none_and_audited(server: PageServer) -> None:
    id_ = run_session(server.factory, OWNER, "mine").id
    assert server.get(f"sessions/{id_}", OWNER).status == 200
    for path in (f"sessions/{id_}", f"sessions/{id_}/stop"):
        assert server.get(path, OTHER).status == 404
        wait_for(lambda: any(e.target == f"{PREFIX}{path}" and e.actor == OTHER for e in server.factory.audit_trail.latest(limit=20)), path)  # noqa: B023
    assert server.get(f"sessions/{uuid4()}", OTHER).status == 404
    assert not any(e.actor == ADMIN and e.outcome == "refused" for e in server.factory.audit_trail.latest(limit=20))


def test_others_who_look_at_a_session_are_not_offered_to_start_it_for_themselves(server: PageServer) -> None:
    held = run_session(server.factory, OWNER, "over")
    server.factory.meter.ended(held.id, datetime.now(UTC), EndCause.STOPPED_BY_USER)
    offered = {who: "Start again" in server.get(f"sessions/{held.id}", who).body for who in (OWNER, ADMIN)}
    assert offered == {OWNER: True, ADMIN: False}
