"""A question about all of time is answered as quickly as one about the ledger's own days, with the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.storage.database import Database
from tests.support.billing import CARDS, DECEMBER, NOVEMBER, Office
from tests.support.charging import Charging

ALL = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
MOST_STATEMENTS = 200


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    said: list[str] = []

    def add(_connection, _cursor, statement, *_rest) -> None:
        said.append(statement)
        assert len(said) <= MOST_STATEMENTS, "one for each day of all time"

    event.listen(database.engine, "before_cursor_execute", add)
    yield said
    event.remove(database.engine, "before_cursor_execute", add)


@pytest.mark.parametrize("groups", [("day",), ("month", "user"), ()])
def test_all_of_time_has_as_many_pieces_as_the_ledger_has_days(database: Database, tmp_path, groups) -> None:
    office = Office(database, tmp_path)
    costs = Charging(database, CARDS, lambda: DECEMBER).costs()
    assert costs.costs(UsageQuery(*ALL, groups)).rows == ()
    office.usual_november()
    with counted(database):
        asked = costs.costs(UsageQuery(*ALL, groups))
    month = costs.costs(UsageQuery(NOVEMBER, DECEMBER + timedelta(days=1), groups))
    assert (asked.rows, asked.totals) == (month.rows, month.totals)
    assert asked.rows
    assert costs.costs(UsageQuery(DECEMBER + timedelta(days=2), ALL[1], groups)).rows == ()
