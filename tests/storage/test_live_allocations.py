"""Whoever reads again what is not over reads what is there, though unchanged rows are not read twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, event, text

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.storage.live_allocations import Live
from tests.support.chain import Chain, person, want


class _UndoneError(Exception):
    """Ends a transaction that is not to be committed."""


def name_of(seen: Live, allocation: Allocation) -> str:
    return next(a.server_name for a in seen.open if a.id == allocation.id)


def live(chain: Chain) -> Live:
    with chain.database.read() as connection:
        return chain.allocations.live(connection)


def name(connection: Connection, allocation: Allocation, server_name: str) -> None:
    """Write past every store, as an operator by hand would."""
    statement = text("UPDATE allocations SET server_name = :name WHERE user_id = :user_id")
    connection.execute(statement, {"name": server_name, "user_id": allocation.user_id})


@pytest.fixture
def held(chain: Chain) -> Allocation:
    """One of two that are held; a third waits."""
    first = chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    chain.queue(person(3), "c", want(1))
    live(chain)
    return first


def test_second_look_sees_what_came_changed_and_went(chain: Chain, held: Allocation) -> None:
    with chain.database.write() as connection:
        name(connection, held, "renamed")
    chain.queue(person(4), "d", want(1))
    seen = live(chain)
    assert {a.server_name for a in seen.open} == {"renamed", "b"}
    assert [a.server_name for a in seen.queued] == ["c", "d"]
    assert seen == live(chain)


def test_what_was_undone_is_not_remembered(chain: Chain, held: Allocation) -> None:
    with pytest.raises(_UndoneError), chain.database.write() as connection:
        name(connection, held, "never")
        assert name_of(chain.allocations.live(connection), held) == "never"
        raise _UndoneError
    assert name_of(live(chain), held) == "a"
    with chain.database.write() as connection:
        name(connection, held, "other")
        assert name_of(chain.allocations.live(connection), held) == "other"
        name(connection, held, "last")
        assert name_of(chain.allocations.live(connection), held) == "last"
    assert name_of(live(chain), held) == "last"


@contextmanager
def counted_rows() -> Iterator[list[int]]:
    """Yield the number of whole allocations that each statement asks PostgreSQL for."""
    counts: list[int] = []

    def before(_connection: Connection, _cursor: object, statement: str, parameters: dict[str, list[str]], *_: object) -> None:
        if "FROM allocations" in statement and "xmin" not in statement:
            counts.append(len(parameters["ids"]))

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", before)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.usefixtures("held")
def test_postgresql_sends_only_what_is_new(chain: Chain) -> None:
    with counted_rows() as counts:
        live(chain)
    assert counts == []
    chain.queue(person(4), "d", want(1))
    with counted_rows() as counts:
        live(chain)
    assert counts == [1]
