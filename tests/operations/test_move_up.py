"""An admin moves a request to the front of the queue: it starts first, everybody concerned reads why, and the act is audited."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from sqlalchemy import select

from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.limits import Capacity, DeviceState
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.domain.queue_moves import MoveNote
from aiplatform_hub.domain.queueing import Outlook, View, line_of
from aiplatform_hub.errors import ConflictError, NotFoundError, ServiceUnavailableError
from aiplatform_hub.operations.queue_json import line_from_json, line_to_json
from aiplatform_hub.storage import schema
from tests.support.chain import Chain, person, want


@pytest.fixture
def line(chain: Chain) -> Chain:
    """All four GPUs are held by persons 1 and 2; submit times alone decide who is next."""
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    return Chain(chain.database, chain.head_file, chain.clock, policy=FIFO)


def three(line: Chain) -> list[Allocation]:
    found = []
    for number in (3, 4, 5):
        found.append(line.queue(person(number), f"s{number}", want(2)))
        line.clock.move(seconds=1)
    line.dispatch()
    return found


def free(line: Chain) -> None:
    line.end(line.open()[0])


def audit(line: Chain) -> list[tuple[str, str, str, dict[str, object]]]:
    with line.database.read() as connection:
        rows = connection.execute(select(schema.audit_events).order_by(schema.audit_events.c.id)).mappings()
        return [(row["actor"], row["action"], row["target"], row["detail"]) for row in rows]


def test_the_moved_one_is_next_and_starts_first(line: Chain) -> None:
    one, two, last = three(line)
    moved = line.new_moves().move_up(last.id, by="boss", reason="an exam")
    assert moved.moved_up_at == line.clock()
    assert line.find(last) == moved
    line.dispatch()
    assert [entry.id for entry in line.desk.entries()] == [last.id, one.id, two.id]
    assert [entry.move for entry in line.desk.entries()] == [MoveNote("boss", "an exam"), *[MoveNote(overtaken_for=("an exam",))] * 2]
    free(line)
    assert [held.id for held in line.dispatch().held] == [last.id]
    assert {entry.move for entry in line.desk.entries()} == {None}, "what does not wait any more overtakes nobody"


def test_each_act_is_audited_in_its_own_transaction(line: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, last = three(line)
    moves = line.new_moves()
    moves.move_up(last.id, by="boss", reason="an exam")
    moves.undo(last.id, by="chief")
    target = f"allocation:{last.id}"
    assert audit(line) == [
        ("boss", "move_up", target, {"reason": "an exam", "user": "user5", "from_place": 3}),
        ("chief", "undo_move_up", target, {"user": "user5"}),
    ]
    before = line.find(last)
    monkeypatch.setattr(moves._audit_trail, "record", refuse)
    with pytest.raises(ServiceUnavailableError):
        moves.move_up(last.id, by="boss", reason="an exam")
    assert line.find(last) == before


def refuse(*_: object, **__: object) -> None:
    raise ServiceUnavailableError("The database does not answer.")


def test_undo_gives_the_usual_order_back(line: Chain) -> None:
    one, two, last = three(line)
    moves = line.new_moves()
    moves.move_up(last.id, by="boss", reason="an exam")
    line.dispatch()
    moves.undo(last.id, by="boss")
    moves.undo(last.id, by="boss")
    line.dispatch()
    assert [entry.id for entry in line.desk.entries()] == [one.id, two.id, last.id]
    assert {entry.move for entry in line.desk.entries()} == {None}
    assert len(audit(line)) == 2, "a second time nothing changes"


def test_the_last_moved_one_is_first_and_may_be_moved_again(line: Chain) -> None:
    one, two, last = three(line)
    moves = line.new_moves()
    for request in (last, two, last):
        line.clock.move(seconds=1)
        moves.move_up(request.id, by="boss", reason=f"for {request.user_name}")
        line.dispatch()
    assert [entry.id for entry in line.desk.entries()] == [last.id, two.id, one.id]
    notes = {entry.id: entry.move for entry in line.desk.entries()}
    assert notes[two.id] == MoveNote("boss", "for user4", ("for user5",))


def test_what_cannot_be_moved_is_refused(line: Chain) -> None:
    one, *_, last = three(line)
    moves = line.new_moves()
    with pytest.raises(ConflictError, match="next in line already"):
        moves.move_up(one.id, by="boss", reason="an exam")
    with pytest.raises(NotFoundError):
        moves.move_up(uuid4(), by="boss", reason="an exam")
    line.desk.withdraw(last.id, by="user5")
    for act in (lambda: moves.move_up(last.id, by="boss", reason="an exam"), lambda: moves.undo(last.id, by="boss")):
        with pytest.raises(ConflictError, match="withdrawn"):
            act()
    line.is_kueue = True  # type: ignore[misc]  # of this one only
    with pytest.raises(ConflictError, match="Kueue orders"):
        line.new_moves().move_up(line.queue(person(6), "s6", want(2)).id, by="boss", reason="an exam")
    assert audit(line) == []


def test_what_the_planner_saw_is_stored_with_the_move(line: Chain) -> None:
    """So that a replay finds the same order."""
    *_, last = three(line)
    line.new_moves().move_up(last.id, by="boss", reason="an exam")
    with line.database.read() as connection:
        live = line.allocations.live(connection)
        pool = line.devices.pool(connection)
    assert pool is not None
    seen = line_of(View(line.clock().timestamp(), live.open, live.queued, Capacity(1, 1, tuple(map(DeviceState, pool.devices)))), Outlook(), FIFO)
    again = line_from_json(json.loads(json.dumps(line_to_json(seen))))
    assert again.waiting == seen.waiting
    assert [request.moved_seconds for request in again.waiting if request.moved_seconds] == [line.clock().timestamp()]


def test_the_message_of_a_withdrawal_stays_with_the_request_and_in_the_audit(line: Chain) -> None:
    *_, last = three(line)
    line.desk.withdraw(last.id, by="boss", cause=EndCause.STOPPED_BY_ADMIN, message="the class is over")
    assert line.find(last).stop_message == "the class is over"
    assert audit(line) == [("boss", "withdraw_request", f"allocation:{last.id}", {"message": "the class is over"})]
