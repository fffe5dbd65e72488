"""Who wants no monthly mail, and who had it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from aiplatform_hub.storage.chargeback_tables import showback_opt_outs
from aiplatform_hub.storage.schema import notifications


class ShowbackStore:
    """Rows of ``showback_opt_outs``."""

    def opted_out(self, connection: Connection, names: Collection[str]) -> frozenset[str]:
        """Return who of some people wants no mail."""
        columns = showback_opt_outs.c
        return frozenset(connection.execute(select(columns.user_name).where(columns.user_name.in_(sorted(names)))).scalars())

    def choose(self, connection: Connection, user_name: str, at: datetime, *, is_wanted: bool) -> bool:
        """Note whether somebody wants it; False where it was so before."""
        if (user_name in self.opted_out(connection, [user_name])) is not is_wanted:
            return False
        if is_wanted:
            connection.execute(delete(showback_opt_outs).where(showback_opt_outs.c.user_name == user_name))
        else:
            connection.execute(insert(showback_opt_outs).values(user_name=user_name, at=at))
        return True

    def told(self, connection: Connection, keys: Collection[str]) -> frozenset[str]:
        """Return which of some notices were told."""
        return frozenset(connection.execute(select(notifications.c.key).where(notifications.c.key.in_(sorted(keys)))).scalars())
