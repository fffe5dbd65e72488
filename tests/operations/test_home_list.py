"""What people take off their own lists, and bring back."""

from __future__ import annotations

from uuid import uuid4

import pytest

from aiplatform_hub.domain.allocations import AllocationState
from aiplatform_hub.errors import ConflictError, NotFoundError
from aiplatform_hub.operations.home_list import HomeList
from aiplatform_hub.storage.allocations import AllocationFilter, AllocationStore
from aiplatform_hub.storage.hidden import HiddenStore
from tests.support.chain import Chain, person, want

OVER = frozenset({AllocationState.ENDED, AllocationState.EXPIRED, AllocationState.WITHDRAWN})


def listed(chain: Chain, *, is_listed: bool = True) -> int:
    with chain.database.read() as connection:
        return len(AllocationStore().page(connection, AllocationFilter(user_name="user1", states=OVER, is_listed=is_listed), limit=10))


@pytest.fixture
def home_list(chain: Chain) -> HomeList:
    return HomeList(database=chain.database, allocations=AllocationStore(), hidden=HiddenStore(), clock=chain.clock)


def test_ended_session_is_off_the_list_until_it_is_brought_back(chain: Chain, home_list: HomeList) -> None:
    chain.register()
    ended = chain.hold(person(1), "a", want(1))
    chain.end(ended)
    assert listed(chain) == 1
    for _ in range(2):
        home_list.hide(ended.id, by="user1")
    assert (listed(chain), listed(chain, is_listed=False)) == (0, 1)
    for _ in range(2):
        home_list.unhide(ended.id, by="user1")
    assert listed(chain) == 1


def test_nobody_hides_what_goes_on_or_is_another_persons(chain: Chain, home_list: HomeList) -> None:
    chain.register()
    held = chain.hold(person(1), "a", want(1))
    with pytest.raises(ConflictError, match="not over"):
        home_list.hide(held.id, by="user1")
    chain.end(held)
    for act in (home_list.hide, home_list.unhide):
        with pytest.raises(NotFoundError):
            act(held.id, by="user2")
        with pytest.raises(NotFoundError):
            act(uuid4(), by="user1")
    assert listed(chain) == 1


def test_waiting_requests_are_counted_by_gpu_type(chain: Chain) -> None:
    chain.register()
    chain.hold(person(1), "a", want(2))
    chain.hold(person(2), "b", want(2))
    for number in (3, 4):
        chain.queue(person(number), "c", want(1))
    with chain.database.read() as connection:
        assert list(AllocationStore().waiting_by_gpu_type(connection).values()) == [2]
