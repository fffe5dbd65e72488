"""Writers of one process have their turns in the order in which they came."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from aiplatform_hub.storage.database import Database, DatabaseAwayError
from tests.support.hub import wait_for


@pytest.fixture
def database(database_url: str):
    made = Database(url=database_url, lock_timeout=timedelta(seconds=20))
    yield made
    made.close()


def test_nobody_who_comes_later_is_served_before(database: Database) -> None:
    served: list[int] = []

    def write(number: int) -> None:
        with database.write():
            served.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    with database.write():
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            wait_for(lambda waiting=waiting: len(database._turns._waiting) == waiting, "the writer waits", 30, 0.001)
    for thread in threads:
        thread.join(30)
    assert served == list(range(12))


def test_a_writer_that_has_just_been_served_goes_to_the_end(database: Database) -> None:
    served: list[str] = []

    def write_once() -> None:
        with database.write():
            served.append("other")

    other = threading.Thread(target=write_once)
    with database.write():
        other.start()
        wait_for(lambda: len(database._turns._waiting) == 1, "the other one waits", 30, 0.001)
    for _ in range(3):
        with database.write():
            served.append("same")
    other.join(30)
    assert served == ["other", "same", "same", "same"]


def test_who_waits_in_vain_leaves_the_line(database_url: str) -> None:
    database = Database(url=database_url, lock_timeout=timedelta(milliseconds=50))
    answers: list[BaseException] = []

    def write() -> None:
        try:
            with database.write():
                pass
        except DatabaseAwayError as error:
            answers.append(error)

    with database.write():
        late = threading.Thread(target=write)
        late.start()
        late.join(30)
        assert [answer.status for answer in answers] == [503]
        assert not database._turns._waiting
    with database.write():
        pass
    database.close()


def test_a_decision_goes_before_whoever_waits(database: Database) -> None:
    served: list[str] = []

    def write(name: str, *, is_first: bool) -> None:
        with database.write(is_first=is_first):
            served.append(name)

    threads = [threading.Thread(target=write, args=(name,), kwargs={"is_first": name == "decision"}) for name in ("record 1", "record 2", "decision")]
    with database.write():
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            wait_for(lambda waiting=waiting: len(database._turns._waiting) == waiting, "the writer waits", 30, 0.001)
    for thread in threads:
        thread.join(30)
    assert served == ["decision", "record 1", "record 2"]
