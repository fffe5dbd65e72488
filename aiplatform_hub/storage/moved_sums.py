"""Sums by project or cost centre where sessions were moved: taken from the one, given to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection

from aiplatform_hub.domain.session_moves import Account
from aiplatform_hub.storage.closed_sums import merged
from aiplatform_hub.storage.session_moves import SessionMoveStore

if TYPE_CHECKING:
    from aiplatform_hub.storage.usage_sums import Sum, SumQuery

_ACCOUNTS = ("project", "cost_centre")
_BATCH = 500
"""So many sessions one statement names."""


def corrected(connection: Connection, query: SumQuery, found: Sequence[Sum], read: Callable[[SumQuery], Iterable[Sum]]) -> list[Sum]:
    """Return sums with what moves of sessions change about them; groups in which nothing is left are gone.

    Parameters
    ----------
    found
        The sums as it was metered.
    read
        Reads sums of what is closed; only ended sessions are moved.
    """
    if not {*_ACCOUNTS} & {*query.group_by, *query.filters}:
        return list(found)
    ids = SessionMoveStore().moved(connection, query.start, query.end)
    wanted = query.filters.get("allocation")
    if wanted is not None:
        ids = [id_ for id_ in ids if id_ in (wanted if isinstance(wanted, frozenset) else {wanted})]
    if not ids:
        return list(found)
    batches = (ids[first : first + _BATCH] for first in range(0, len(ids), _BATCH))
    return [one for one in merged([*found, *(change for some in batches for change in _changes(connection, query, some, read))]) if one.intervals]


def _changes(connection: Connection, query: SumQuery, ids: Sequence[UUID], read: Callable[[SumQuery], Iterable[Sum]]) -> Iterator[Sum]:
    moves = SessionMoveStore().of(connection, ids)
    filters = {name: value for name, value in query.filters.items() if name not in _ACCOUNTS}
    columns = tuple(dict.fromkeys((*query.group_by, "allocation", *_ACCOUNTS)))
    for one in read(replace(query, group_by=columns, filters={**filters, "allocation": frozenset(ids)})):
        metered, present = Account(one.keys["project"], one.keys["cost_centre"]), moves[one.keys["allocation"]][-1].target
        for account, sign in ((metered, -1), (present, 1)):
            if _is_asked_for(account, query):
                yield _counted(one, account, sign, query)


def _is_asked_for(account: Account, query: SumQuery) -> bool:
    asked = {name: query.filters[name] for name in _ACCOUNTS if name in query.filters}
    return all(getattr(account, name) in (value if isinstance(value, frozenset) else {value}) for name, value in asked.items())


def _counted(one: Sum, account: Account, sign: int, query: SumQuery) -> Sum:
    place: dict[str, Any] = {"project": account.project, "cost_centre": account.cost_centre}
    names = (*query.group_by, *(("day",) if query.by_day else ()))
    return replace(
        one,
        keys={name: place.get(name, one.keys[name]) for name in names},
        gpu_microseconds=sign * one.gpu_microseconds,
        session_microseconds=sign * one.session_microseconds,
        estimated_microseconds=sign * one.estimated_microseconds,
        intervals=sign * one.intervals,
    )
