"""What an admin says to the owner of what they stop reaches the owner: once, and in every place that tells of the end."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.notices import text_of
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.session_stops import SessionStops
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.web.view_models.environments import environment_card
from aiplatform_hub.web.view_models.paths import Paths
from tests.operations.test_notices import Telling, granted
from tests.support.chain import Chain, person, want

MESSAGE = "the node is <b>serviced</b> at noon"


@pytest.fixture
def telling(chain: Chain) -> Telling:
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    return Telling(chain)


def stops(chain: Chain) -> SessionStops:
    trail = AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock)
    return SessionStops(database=chain.database, allocations=chain.allocations, devices=chain.devices, audit_trail=trail, clock=chain.clock)


def told(telling: Telling) -> list[tuple[str, str]]:
    found = telling.notices.of("user3", limit=100)
    return [(each.words.subject, " ".join(text_of(sentence) for sentence in each.words.sentences)) for each in found]


def test_the_owner_of_a_stopped_session_reads_the_message(telling: Telling) -> None:
    session, chain = granted(telling), telling.chain
    assert stops(chain).request(session.id, "boss", EndCause.STOPPED_BY_ADMIN, MESSAGE)
    card = environment_card(chain.find(session), cost=None, catalog=chain.catalog, now=chain.clock(), paths=Paths("/"))
    assert f"They say: “{MESSAGE}”" in card.why
    telling.watch.look()
    assert "stopped" not in telling.kinds(), "it has not ended yet"
    chain.meter.ended(session.id, chain.clock(), EndCause.EXITED)
    telling.watch.look()
    telling.restart()
    telling.watch.look()
    assert telling.kinds().count("stopped") == 1
    subject, sentences = told(telling)[0]
    assert subject == "An admin stopped JupyterLab (train)"
    assert sentences.startswith(f"They say: “{MESSAGE}” Files that were saved")
    assert f"“{MESSAGE}”" in environment_card(chain.find(session), cost=None, catalog=chain.catalog, now=chain.clock(), paths=Paths("/")).why
    with chain.database.read() as connection:
        (row,) = connection.execute(select(schema.audit_events)).mappings()
    assert (row["action"], row["detail"]) == ("stop_session", {"message": MESSAGE})


def test_a_stop_that_could_not_be_carried_out_leaves_no_message(telling: Telling) -> None:
    session, chain = granted(telling), telling.chain
    stops(chain).request(session.id, "boss", EndCause.STOPPED_BY_ADMIN, MESSAGE)
    stops(chain).withdraw(session.id, "boss")
    assert chain.find(session).stop_message is None


def test_the_owner_of_a_withdrawn_request_reads_the_message(telling: Telling) -> None:
    queued = telling.chain.queue(person(3), "train", want(2))
    telling.chain.desk.withdraw(queued.id, by="boss", cause=EndCause.STOPPED_BY_ADMIN, message=MESSAGE)
    telling.watch.look()
    assert told(telling)[0] == (
        "An admin took JupyterLab (train) out of the queue",
        f"They say: “{MESSAGE}” Nothing of it ran, and nothing is charged.",
    )


def test_an_owner_who_stops_by_themselves_is_not_told(telling: Telling) -> None:
    queued = telling.chain.queue(person(3), "train", want(2))
    telling.chain.desk.withdraw(queued.id, by="user3")
    telling.watch.look()
    assert told(telling) == []
