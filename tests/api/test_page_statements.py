"""A page asks the database the same number of questions whoever looks at it: neither people nor sessions make them more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import update

from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause, GpuDevice, ServerKey
from aiplatform_hub.domain.grace import turn_key
from aiplatform_hub.domain.notices import NoticeKind
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.storage.schema import allocations
from tests.support.page_server import ADMIN, PageServer, page_server

WHO = "user1"
PAGES = (
    "home", "launch", "launch?environment_template=pytorch&gpus=2", "usage", "usage?period=last-month&group_by=project", "policy", "notifications",
    "api/v1/allocations", "api/v1/queue", "api/v1/capacity", "api/v1/catalog", "api/v1/users/user1/quota", "api/v1/usage", "api/v1/costs",
)  # fmt: skip
ADMINS = ("admin", "usage?who=everybody", "usage?who=everybody&group_by=user", "api/v1/allocations", "api/v1/queue", "api/v1/capacity")
"""A page of yours is one more word."""
MOST = 40
"""No page asks more often, however it is built."""
FEWER = {"home": 30, "launch": 16, "launch?environment_template=pytorch&gpus=2": 16, "policy": 16, "notifications": 8, "admin": 24}
"""What pages of every day were brought down to."""
MOST_FOR_THE_STATE = 10
"""By so many statements an opened page knows how things stand."""
OF_ONE_DAY = "anon_1.states"
"""In what is asked once for each day of a report whose sums nobody has kept yet: the keeper keeps those of days that are over."""


def request(gpus: int) -> LaunchRequest:
    return LaunchRequest("pytorch", gpus, "h100" if gpus else None, GIB, 1, "personal", "university")


class Place:
    """A platform of some size."""

    def __init__(self, folder: Path, *, people: int, each: int) -> None:
        url = f"sqlite:///{folder / 'platform.sqlite'}"
        upgrade(url)
        self.settings = Settings(data_dir=folder, database_url=url, max_queued_per_user=50)
        self.factory = Factory(self.settings)
        gpus = [GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number) for number in range(4)]
        self.factory.enforcer.register_devices(gpus, 40_960 * GIB, 4096)
        self.now = datetime.now(UTC)
        for holder, held in ((1, 1), (901, 2), (902, 1)):
            self._run(Caller(holder, f"user{holder}"), held, hours_ago=1)
        for number in range(1, people + 1):
            caller = Caller(number, f"user{number}")
            for _ in range(each):
                self._run(caller, 0, hours_ago=30, is_over=True)
            for _ in range(min(each, 4)):
                self._run(caller, 0, hours_ago=2)
            self._queue(caller, each)
        self.factory.dispatcher.dispatch({f"user{number}": Caller(number, f"user{number}") for number in range(1, people + 1)})
        self.factory.wait_forecaster.refresh()

    def _run(self, caller: Caller, gpus: int, *, hours_ago: float, is_over: bool = False) -> None:
        factory, at = self.factory, self.now - timedelta(hours=hours_ago)
        server = ServerKey(caller.user_id, f"s{uuid4().hex[:8]}")
        held = factory.enforcer.hold(caller, request(gpus), server, door="page", actor=caller.user_name, is_starting=True)
        factory.meter.started(held.id, at)
        factory.meter.ready(held.id, at)
        with factory.database.write() as connection:
            came = update(allocations).where(allocations.c.id == held.id).values(queued_at=at, confirmed_at=at)
            connection.execute(came)  # out of the queue, and nobody has opened it yet
            until = {"until": (self.now + timedelta(hours=1)).isoformat()}
            detail = {**factory.notices.about(held), **until}
            factory.notices.tell(
                connection,
                key=turn_key(held.id),
                user_name=caller.user_name,
                allocation_id=held.id,
                kind=NoticeKind.TURN_CAME,
                detail=detail,
                at=at,
            )
        if is_over:
            factory.meter.ended(held.id, at + timedelta(hours=1), EndCause.STOPPED_BY_USER)

    def _queue(self, caller: Caller, count: int) -> None:
        with self.factory.database.write() as connection:
            for number in range(count):
                at = self.now - timedelta(minutes=number)
                row = Allocation(
                    id=uuid4(),
                    user_id=caller.user_id,
                    user_name=caller.user_name,
                    server_name=f"q{number}",
                    spawner_id=None,
                    request=request(2),
                    state=AllocationState.QUEUED,
                    devices=(),
                    door="page",
                    actor=caller.user_name,
                    requested_at=at,
                    queued_at=at,
                    confirmed_at=at,
                )
                self.factory.allocations.insert(connection, row)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    place = Place(tmp_path_factory.mktemp("small"), people=2, each=1)
    with page_server(place.settings, place.factory) as server:
        yield server
    place.factory.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    place = Place(tmp_path_factory.mktemp("large"), people=12, each=6)
    with page_server(place.settings, place.factory) as server:
        yield server
    place.factory.close()


def asked(server: PageServer, path: str, who: str, *, is_refresh: bool = True) -> list[str]:
    """Return what a page asks for the second time; who is asked for the policy and the rate cards every few seconds does not count."""
    server.get(path, who, is_refresh=is_refresh)
    server.statements.clear()
    answer = server.get(path, who, is_refresh=is_refresh)
    assert answer.status == 200, answer.body[:2000]
    uncounted = ("FROM policies", "FROM rate_cards", OF_ONE_DAY)
    return [statement for statement in server.statements if not any(words in statement for words in uncounted)]


def _fewest(server: PageServer, path: str, who: str, *, is_refresh: bool = True) -> list[str]:
    """Return what a page asks for when nothing that is kept for seconds grows old meanwhile."""
    return min((asked(server, path, who, is_refresh=is_refresh) for _ in range(3)), key=len)


@pytest.mark.parametrize(("path", "who"), [*((path, WHO) for path in PAGES), *((path, ADMIN) for path in ADMINS)])
def test_a_page_asks_as_often_in_a_large_place_as_in_a_small_one(small: PageServer, large: PageServer, path: str, who: str) -> None:
    few, many = _fewest(small, path, who), _fewest(large, path, who)
    assert len(many) <= len(few), "\n".join(sorted(set(many), key=many.count))
    assert len(many) <= FEWER.get(path, MOST)


@pytest.mark.parametrize(("path", "who"), [("home", WHO), ("launch", WHO), ("policy", WHO), ("usage", WHO), ("admin", ADMIN)])
def test_a_page_that_is_opened_asks_a_little_more_so_that_its_stream_does_not_ask_for_all_again(
    small: PageServer, large: PageServer, path: str, who: str
) -> None:
    more = [len(_fewest(server, path, who, is_refresh=False)) - len(_fewest(server, path, who)) for server in (small, large)]
    assert 0 < more[1] <= more[0] <= MOST_FOR_THE_STATE


@pytest.mark.parametrize("kind", ["ended", "active", "queued"])
@pytest.mark.parametrize("path", ["sessions/{id}", "sessions/{id}/stop", "api/v1/allocations/{id}"])
def test_a_session_asks_as_often_whatever_else_there_is(small: PageServer, large: PageServer, path: str, kind: str) -> None:
    counts = []
    for server in (small, large):
        with server.factory.database.read() as connection:
            mine = [a for a in server.factory.allocations.open_of(connection, 1) if kind == "active" and not a.request.gpus]
            mine += [a for a in server.factory.allocations.queued(connection) if kind == "queued" and a.user_id == 1]
        ended = server.get("api/v1/allocations?state=ended", WHO).body if kind == "ended" else ""
        id_ = ended.split('"id":', 1)[1].split('"')[1] if ended else str(mine[0].id)
        counts.append(len(_fewest(server, path.format(id=id_), WHO)))
    assert counts[1] <= counts[0] <= MOST
