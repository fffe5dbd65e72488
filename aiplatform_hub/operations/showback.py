"""The monthly mail to project leads: once for each month and lead, whoever is killed when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.notices import NoticeKind
from aiplatform_hub.domain.showback import LAST_DAY, PATIENCE, IdleSession, ProjectUse, leads_of, project_uses, showback_detail, showback_key
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.storage.activity_sums import ACTIVITY, ActivitySums
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.showback import ShowbackStore
from aiplatform_hub.storage.usage_sums import SumQuery, UsageSums

CHANNELS = frozenset({"email"})
"""What passes it on, beside the page of notifications: it is too long for the others."""


class Showback:
    """Tells leads of the month that is over, and keeps who wants it."""

    def __init__(  # noqa: PLR0913  its collaborators, by name
        self,
        *,
        database: Database,
        catalog: Catalog,
        showback: ShowbackStore,
        charges: ChargeReader,
        sums: UsageSums,
        activity: ActivitySums,
        notices: Notices,
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._leads = leads_of(catalog.projects)
        self._projects = catalog.projects
        self._showback = showback
        self._charges = charges
        self._sums = sums
        self._activity = activity
        self._notices = notices
        self._audit_trail = audit_trail
        self._clock = clock
        self._done: datetime | None = None

    def is_lead(self, user_name: str) -> bool:
        """Return whether somebody leads a project."""
        return user_name in self._leads

    def is_wanted(self, user_name: str) -> bool:
        """Return whether somebody wants the mail; who never said so does."""
        with self._database.read() as connection:
            return user_name not in self._showback.opted_out(connection, [user_name])

    def choose(self, user_name: str, *, is_wanted: bool) -> None:
        """Note whether somebody wants the mail; may be repeated."""
        with self._database.write() as connection:
            if self._showback.choose(connection, user_name, self._clock(), is_wanted=is_wanted):
                detail = {"is_wanted": is_wanted}
                self._audit_trail.record(connection, actor=user_name, action="choose_showback", target=f"user:{user_name}", outcome="allowed", detail=detail)

    def look(self) -> int:
        """Tell who is to be told of last month and was not; return how many were.

        A month that is not complete waits :data:`~aiplatform_hub.domain.showback.PATIENCE`; then it is told as it is.
        """
        now = self._clock()
        end = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        if now.day > LAST_DAY or self._done == end or not self._leads:
            return 0
        start = (end - timedelta(days=1)).replace(day=1)
        with self._database.snapshot() as connection:
            is_complete = self._sums.complete_until(connection, now) >= end
            if not is_complete and now < end + PATIENCE:
                return 0
            leads = self._waiting(connection, start)
            uses = self._uses(connection, start, end, leads) if leads else {}
        told = sum(self._tell(lead, [uses[name] for name in names if name in uses], start, is_complete=is_complete) for lead, names in leads.items())
        self._done = end
        return told

    def _waiting(self, connection: Connection, start: datetime) -> Mapping[str, tuple[str, ...]]:
        keys = {lead: showback_key(f"{start:%Y-%m}", lead) for lead in self._leads}
        told, unwilling = self._showback.told(connection, keys.values()), self._showback.opted_out(connection, self._leads)
        return {lead: names for lead, names in self._leads.items() if keys[lead] not in told and lead not in unwilling}

    def _uses(self, connection: Connection, start: datetime, end: datetime, leads: Mapping[str, tuple[str, ...]]) -> dict[str, ProjectUse]:
        only = {"project": frozenset(name for names in leads.values() for name in names)}
        used: dict[str, int] = defaultdict(int)
        idle: dict[str, list[IdleSession]] = defaultdict(list)
        for one in self._activity.sums(connection, SumQuery(start, end, ("project", "allocation", "user"), only)):
            if one.keys[ACTIVITY] == Activity.USED.value:
                used[one.keys["project"]] += one.gpu_microseconds
            else:
                idle[one.keys["project"]].append(IdleSession(one.keys["allocation"], one.keys["user"], one.gpu_microseconds))
        charged = self._charges.sums(connection, start, end, columns=("project",), by_day=False, filters=only)
        return project_uses(charged, used, idle, self._projects)

    def _tell(self, lead: str, uses: list[ProjectUse], start: datetime, *, is_complete: bool) -> bool:
        if not uses:
            return False
        with self._database.write() as connection:
            return self._notices.tell(
                connection,
                key=showback_key(f"{start:%Y-%m}", lead),
                user_name=lead,
                allocation_id=None,
                kind=NoticeKind.SHOWBACK,
                detail=showback_detail(start, uses, is_complete=is_complete),
                at=self._clock(),
                only=CHANNELS,
            )
