"""Limits raised for a person or a group until an instant."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, ScalarSelect, Text, and_, bindparam, insert, or_, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from aiplatform_hub.domain.limit_grants import GrantScope, LimitGrant
from aiplatform_hub.domain.units import from_microseconds
from aiplatform_hub.storage.limit_grant_tables import limit_grants
from aiplatform_hub.storage.schema import Instant

_COLUMNS = limit_grants.c


class _JsonRows(FunctionElement[str]):
    """The rows of a group as text: a JSON list of lists; null or empty for none."""

    type = Text()
    inherit_cache = True


@compiles(_JsonRows, "sqlite")
def _on_sqlite(element: _JsonRows, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **options)}))"


@compiles(_JsonRows, "postgresql")
def _on_postgresql(element: _JsonRows, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(json_agg(json_build_array({compiler.process(element.clauses, **options)})) AS TEXT)"


_IN_FORCE = (_COLUMNS.expires_at > bindparam("now", type_=Instant()), _COLUMNS.revoked_at.is_(None))
_NAMES = tuple(LimitGrant.__slots__)


def limit_grants_of_caller() -> ScalarSelect[str]:
    """Return what a statement reads of the grants in force of one person: parameters ``user_name``, ``groups`` and ``now``."""
    return select(_JsonRows(*(_COLUMNS[name] for name in _NAMES))).where(_is_for(), *_IN_FORCE).scalar_subquery()


def limit_grants_from_text(rows: str | None) -> tuple[LimitGrant, ...]:
    """Return the grants of what :func:`limit_grants_of_caller` gave."""
    return tuple(_of_json(dict(zip(_NAMES, row, strict=True))) for row in json.loads(rows)) if rows else ()


def _of_json(values: dict[str, Any]) -> LimitGrant:
    instants = {name: None if values[name] is None else from_microseconds(values[name]) for name in ("expires_at", "granted_at", "revoked_at")}
    return LimitGrant(**{**values, **instants, "id": UUID(values["id"]), "scope": GrantScope(values["scope"]), "amount": Decimal(values["amount"])})


def _is_for() -> ColumnElement[bool]:
    by_name = and_(_COLUMNS.scope == GrantScope.USER.value, _COLUMNS.name == bindparam("user_name"))
    by_group = and_(_COLUMNS.scope == GrantScope.GROUP.value, _COLUMNS.name.in_(bindparam("groups", expanding=True)))
    return or_(by_name, by_group)


class LimitGrantStore:
    """Reads and writes raised limits."""

    def insert(self, connection: Connection, grant: LimitGrant) -> None:
        """Store a grant."""
        values = {name: getattr(grant, name) for name in _NAMES}
        connection.execute(insert(limit_grants).values(**{**values, "scope": grant.scope.value, "amount": format(grant.amount, "f")}))

    def set_revoked(self, connection: Connection, grant_id: UUID, at: datetime | None) -> None:
        """End a grant at an instant; None takes its end back."""
        connection.execute(update(limit_grants).where(_COLUMNS.id == grant_id).values(revoked_at=at))

    def find(self, connection: Connection, grant_id: UUID) -> LimitGrant | None:
        """Return a grant, in force or not, or None."""
        row = connection.execute(select(limit_grants).where(_COLUMNS.id == grant_id)).mappings().one_or_none()
        return None if row is None else _of_row(row)

    def in_force(self, connection: Connection, at: datetime) -> tuple[LimitGrant, ...]:
        """Return all grants in force at an instant, by whom they are for and then the newest first."""
        # sorted here: asked for an order, a database walks through all that were ever granted
        found = map(_of_row, connection.execute(select(limit_grants).where(*_IN_FORCE), {"now": at}).mappings())
        newest_first = sorted(found, key=lambda grant: grant.granted_at, reverse=True)
        return tuple(sorted(newest_first, key=lambda grant: (grant.scope.value, grant.name)))

    def of(self, connection: Connection, user_name: str, groups: Collection[str], *, limit: int) -> tuple[LimitGrant, ...]:
        """Return the latest grants of a person and their groups, in force or not, the newest first."""
        statement = select(limit_grants).where(_is_for()).order_by(_COLUMNS.granted_at.desc(), _COLUMNS.id).limit(limit)
        return tuple(map(_of_row, connection.execute(statement, {"user_name": user_name, "groups": sorted(groups)}).mappings()))


def _of_row(row: RowMapping) -> LimitGrant:
    return LimitGrant(**{**row, "scope": GrantScope(row["scope"]), "amount": Decimal(row["amount"])})
