"""What people are told: once each, whoever is killed in between, and passed on with a bounded number of tries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.notices import MOST_ATTEMPTS, DeliveryError, Message, NoticeKind, RefusedDeliveryError
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.notice_delivery import NoticeDelivery
from aiplatform_hub.operations.notice_watch import NoticeWatch
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.storage.events import EventStore
from aiplatform_hub.storage.notifications import NotificationStore
from aiplatform_hub.storage.schema import notification_deliveries
from tests.support.chain import NOON, Chain, person, want


@dataclass
class Receiver:
    """A notifier that keeps what it gets, or fails."""

    trouble: Exception | None = None
    got: list[Message] = field(default_factory=list)
    tries: int = 0

    def deliver(self, message: Message) -> None:
        self.tries += 1
        if self.trouble:
            raise self.trouble
        self.got.append(message)


class Telling:
    """A keeper's view of notices."""

    def __init__(self, chain: Chain) -> None:
        self.chain, self.store, self.receiver = chain, NotificationStore(), Receiver()
        self.notices = Notices(database=chain.database, notifications=self.store, catalog=chain.catalog, channels=("page", "post"), clock=chain.clock)
        self.restart()
        self.delivery = NoticeDelivery(
            database=chain.database,
            notifications=self.store,
            notifiers={"post": self.receiver},
            page_of=lambda notice: f"https://hub.example.org/{notice.allocation_id}",
            clock=chain.clock,
        )

    def restart(self, **how: object) -> None:
        """Be another keeper: nothing is remembered."""
        chain = self.chain
        self.watch = NoticeWatch(
            database=chain.database,
            allocations=chain.allocations,
            events=EventStore(),
            notifications=self.store,
            notices=self.notices,
            interest=timedelta(hours=24),
            grace=timedelta(minutes=15),
            clock=chain.clock,
            **({"warned": chain.releases.warned} | how),
        )

    def kinds(self, user: int = 3) -> list[str]:
        return [told.notice.kind.value for told in reversed(self.notices.of(f"user{user}", limit=100))]

    def deliveries(self) -> list[dict]:
        with self.chain.database.read() as connection:
            rows = connection.execute(select(notification_deliveries).where(notification_deliveries.c.channel == "post"))
            return [dict(row) for row in rows.mappings()]


@pytest.fixture
def telling(chain: Chain) -> Telling:
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    return Telling(chain)


def free(chain: Chain) -> None:
    chain.end(next(a for a in chain.open() if a.user_id == 1))


def run(chain: Chain, allocation: Allocation) -> Allocation:
    """Let the start of a hold go all the way."""
    held = chain.find(allocation)
    chain.take_up(person(held.user_id), held.server_name, held.request, is_dispatched=True, spawner_id=held.user_id * 10)
    chain.meter.started(held.id, chain.clock())
    chain.meter.ready(held.id, chain.clock())
    return chain.find(held)


def granted(telling: Telling) -> Allocation:
    """What person 3 had waited for, running."""
    queued = telling.chain.queue(person(3), "train", want(2))
    free(telling.chain)
    telling.chain.dispatch()
    return run(telling.chain, queued)


def test_turn_is_told_with_the_time_until_which_it_has_to_be_opened(telling: Telling) -> None:
    session = granted(telling)
    assert telling.watch.look() == 1
    (told,) = telling.notices.inbox("user3")
    assert (told.notice.kind, told.notice.allocation_id, told.words.subject) == (NoticeKind.TURN_CAME, session.id, "Your turn has come: JupyterLab (train)")
    assert told.words.sentences[0] == ("JupyterLab (train) is running; 2 × H100 are yours.",)
    assert NOON + timedelta(minutes=15) in told.words.sentences[1]
    assert telling.kinds(1) == telling.kinds(2) == []


def test_session_that_never_waited_is_not_told(telling: Telling) -> None:
    free(telling.chain)
    run(telling.chain, telling.chain.hold(person(4), "quick", want(1)))
    assert telling.watch.look() == 0


def test_everything_is_told_once_though_keepers_die(telling: Telling) -> None:
    session = granted(telling)
    for _ in range(5):
        telling.watch.look()
        telling.restart()
    telling.chain.meter.ended(session.id, telling.chain.clock.move(minutes=30), EndCause.IDLE)
    for _ in range(5):
        telling.restart()
        telling.watch.look()
        telling.watch.look()
    assert telling.kinds() == ["turn_came", "released"]


def test_nothing_is_lost_when_a_keeper_dies_before_it_has_told(telling: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = telling.chain.queue(person(3), "one", want(2)), telling.chain.queue(person(4), "two", want(2))
    telling.watch.look()
    with telling.chain.database.write() as connection:
        for request in (first, second):
            telling.chain.allocations.change(
                connection,
                request,
                to=AllocationState.EXPIRED,
                at=telling.chain.clock(),
                cause="project_closed",
                actor="keeper",
                ended_at=telling.chain.clock(),
                end_cause=EndCause.PROJECT_CLOSED,
            )

    def killed(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(telling.notices, "tell", killed)
        with pytest.raises(KeyboardInterrupt):
            telling.watch.look()
    telling.restart()
    telling.watch.look()
    assert (telling.kinds(3), telling.kinds(4)) == (["expired"], ["expired"])


def test_interest_is_warned_of_before_it_expires_and_again_after_each_confirmation(telling: Telling) -> None:
    queued = telling.chain.queue(person(3), "train", want(2))
    telling.chain.clock.move(hours=17, minutes=59)
    assert telling.watch.look() == 0
    telling.chain.clock.move(minutes=1)
    assert [telling.watch.look() for _ in range(3)] == [1, 0, 0]
    (told,) = telling.notices.inbox("user3")
    assert NOON + timedelta(hours=24) in told.words.sentences[0]
    assert f"aiplatform confirm {str(queued.id)[:8]}" in told.words.sentences[1][0]
    telling.chain.desk.confirm(queued.id, by="user3")
    assert telling.notices.inbox("user3") == ()
    telling.chain.clock.move(hours=18)
    assert telling.watch.look() == 1
    telling.chain.clock.move(hours=7)
    telling.chain.dispatch()
    telling.watch.look()
    assert telling.kinds() == ["interest_expires", "interest_expires", "expired"]


def test_failed_start_is_told_when_it_ended_for_good(telling: Telling) -> None:
    queued = telling.chain.queue(person(3), "train", want(2))
    free(telling.chain)
    telling.chain.dispatch()
    telling.chain.dispatcher.start_failed(queued.id)
    assert telling.watch.look() == 0
    telling.chain.dispatch()
    telling.chain.dispatcher.start_failed(queued.id)
    telling.watch.look()
    assert telling.kinds() == ["start_failed"]


@pytest.mark.parametrize("cause", [EndCause.IDLE, EndCause.SESSION_CAP, EndCause.CLASS_BEGINS])
def test_release_is_told_to_its_owner(telling: Telling, cause: EndCause) -> None:
    session = granted(telling)
    telling.watch.look()
    telling.chain.meter.ended(session.id, telling.chain.clock.move(hours=1), cause)
    telling.watch.look()
    assert telling.kinds() == ["turn_came", "released"]
    (told,) = telling.notices.inbox("user3")
    assert told.words.subject == "JupyterLab (train) was stopped"


def test_warning_is_told_once_for_each_deadline(telling: Telling) -> None:
    session = granted(telling)
    until = [NOON + timedelta(hours=1)]
    telling.restart(warned=lambda _connection, _now: iter([(session, until[0], "idle")]))
    telling.watch.look()
    telling.watch.look()
    until[0] += timedelta(hours=1)
    telling.watch.look()
    assert telling.kinds() == ["turn_came", "release_warning", "release_warning"]


def test_end_by_its_owner_is_no_news(telling: Telling) -> None:
    session = granted(telling)
    telling.watch.look()
    telling.chain.meter.ended(session.id, telling.chain.clock.move(hours=1), EndCause.STOPPED_BY_USER)
    telling.watch.look()
    assert telling.kinds() == ["turn_came"]
    assert telling.notices.inbox("user3") == (), "that its turn came is over"


def test_what_happened_long_before_is_not_told(telling: Telling) -> None:
    session = granted(telling)
    telling.chain.meter.ended(session.id, telling.chain.clock.move(hours=1), EndCause.IDLE)
    telling.chain.clock.move(days=2)
    assert telling.watch.look() == 0


def test_only_the_person_themselves_dismisses(telling: Telling) -> None:
    granted(telling)
    telling.watch.look()
    (told,) = telling.notices.inbox("user3")
    with pytest.raises(NotFoundError):
        telling.notices.dismiss(told.notice.id, by="user4")
    assert len(telling.notices.inbox("user3")) == 1
    assert telling.notices.dismiss(told.notice.id, by="user3").notice.dismissed_at == NOON
    assert telling.notices.inbox("user3") == ()
    telling.chain.clock.move(hours=1)
    assert telling.notices.dismiss(told.notice.id, by="user3").notice.dismissed_at == NOON


def test_same_key_is_told_once_in_whatever_transaction(telling: Telling) -> None:
    session = granted(telling)
    how = {"key": "k", "user_name": "user3", "allocation_id": session.id, "kind": NoticeKind.RELEASED, "at": NOON}
    with telling.chain.database.write() as connection:
        assert telling.notices.tell(connection, detail=telling.notices.about(session), **how)
    with telling.chain.database.write() as connection:
        assert not telling.notices.tell(connection, detail=telling.notices.about(session), **how)
    with pytest.raises(ZeroDivisionError), telling.chain.database.write() as connection:
        telling.notices.tell(connection, detail=telling.notices.about(session), **{**how, "key": "other"})
        raise ZeroDivisionError
    assert telling.kinds() == ["released"]


def test_notice_is_passed_on_once(telling: Telling) -> None:
    session = granted(telling)
    telling.watch.look()
    assert [telling.delivery.pass_on("post") for _ in range(3)] == [1, 0, 0]
    (message,) = telling.receiver.got
    assert (message.user_name, message.kind, message.allocation_id) == ("user3", "turn_came", session.id)
    assert message.sentences[1] == "Open it by 2026-11-24 12:15 UTC (+00:00), or it goes to whoever is next in line."
    assert message.link.endswith(str(session.id))
    (row,) = telling.deliveries()
    assert (row["attempts"], row["delivered_at"], row["next_at"], row["error"]) == (1, NOON, None, None)


def test_failed_try_is_made_again_ever_later_and_not_for_ever(telling: Telling) -> None:
    granted(telling)
    telling.watch.look()
    telling.receiver.trouble = DeliveryError("It is away.")
    pauses = []
    while (due := telling.deliveries()[0]["next_at"]) is not None:
        pauses.append((due - telling.chain.clock()).total_seconds())
        telling.chain.clock.now = due - timedelta(milliseconds=1)
        assert telling.delivery.pass_on("post") == 0
        tries = telling.receiver.tries
        telling.chain.clock.now = due
        telling.delivery.pass_on("post")
        assert telling.receiver.tries == tries + 1
    assert pauses == [0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    assert telling.receiver.tries == MOST_ATTEMPTS
    (row,) = telling.deliveries()
    assert (row["attempts"], row["delivered_at"], row["error"]) == (MOST_ATTEMPTS, None, "It is away.")


def test_try_after_an_outage_succeeds(telling: Telling) -> None:
    granted(telling)
    telling.watch.look()
    telling.receiver.trouble = DeliveryError("It is away.")
    telling.delivery.pass_on("post")
    telling.receiver.trouble = None
    telling.chain.clock.move(seconds=10)
    assert telling.delivery.pass_on("post") == 1


def test_refusal_for_good_is_not_tried_again(telling: Telling) -> None:
    granted(telling)
    telling.watch.look()
    telling.receiver.trouble = RefusedDeliveryError("No address.")
    telling.delivery.pass_on("post")
    (row,) = telling.deliveries()
    assert (row["next_at"], row["error"]) == (None, "No address.")


def test_broken_plug_in_costs_its_own_channel_only(telling: Telling) -> None:
    granted(telling)
    telling.watch.look()
    telling.receiver.trouble = ValueError("oops")
    assert telling.delivery.pass_on("post") == 0
    assert telling.deliveries()[0]["error"] == "ValueError in the notifier."
    assert telling.deliveries()[0]["next_at"] is not None


def test_notice_about_nothing_stored_is_not_found(telling: Telling) -> None:
    with pytest.raises(NotFoundError):
        telling.notices.dismiss(99, by="user3")
    assert UUID(int=0) not in {told.notice.allocation_id for told in telling.notices.of("user3", limit=10)}
