"""One allocation: its page, and the question before a stop."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.costs import CostLine, cost_lines
from aiplatform_hub.errors import AIPlatformError, InsufficientScopeError, NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.auth import READ, STOP
from aiplatform_hub.services.platform.pages.base import Page, costs_of
from aiplatform_hub.web.view_models.environments import environment_card, gpu_label, template_label
from aiplatform_hub.web.view_models.formats import gpus, hours, money, price, stamp
from aiplatform_hub.web.view_models.launch import problem_of
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.session import CostRow, SessionPage, session_facts, steps, why

LOG_BYTES = 16_384
"""So much of the end of a log is shown."""


class _OneAllocation(Page):
    active = "home"

    async def allocation(self, text: str) -> Allocation:
        """Return the allocation if the person may know of it.

        Raises
        ------
        NotFoundError
            If there is none, or it is not theirs to see.
        """
        found = await self.platform.run(_find, self.factory, UUID(text))
        if found is None or not self.principal.may(READ, found.user_name, server_name=found.server_name):
            raise NotFoundError("There is no such session, or it is not yours.")
        self.title = template_label(self.factory.catalog, found.request.environment_template)
        return found


class SessionHandler(_OneAllocation):
    """``GET sessions/ID``."""

    async def get(self, allocation_id: str) -> None:
        allocation = await self.allocation(allocation_id)
        may_read_log = self.principal.name == allocation.user_name or self.principal.is_admin
        self.show("session.html", page=await self.platform.run(session_page, self.factory, allocation, self.paths, may_read_log=may_read_log))


class StopHandler(_OneAllocation):
    """``GET sessions/ID/stop`` asks, ``POST`` stops."""

    async def get(self, allocation_id: str) -> None:
        await self._ask(await self.allocation(allocation_id), None)

    async def post(self, allocation_id: str) -> None:
        allocation = await self.allocation(allocation_id)
        try:
            if not self.principal.may(STOP, allocation.user_name, server_name=allocation.server_name):
                raise InsufficientScopeError(f"This needs the scope {STOP}!user={allocation.user_name}.")
            await self.platform.sessions.stop(allocation, self.principal)
        except AIPlatformError as error:
            self.set_status(error.status)
            await self._ask(allocation, error)
            return
        self.redirect(f"{self.paths.platform}home", status=303)

    async def _ask(self, allocation: Allocation, error: AIPlatformError | None) -> None:
        costs = await self.platform.run(costs_of, self.factory, [allocation])
        card = environment_card(allocation, cost=costs.get(allocation.id), catalog=self.factory.catalog, now=self.factory.clock(), paths=self.paths)
        self.show("stop.html", card=card, problem=problem_of(error) if error else None)


def _find(factory: Factory, allocation_id: UUID) -> Allocation | None:
    with factory.database.read() as connection:
        return factory.allocations.find(connection, allocation_id)


def session_page(factory: Factory, allocation: Allocation, paths: Paths, *, may_read_log: bool) -> SessionPage:
    """Read and word everything about one allocation."""
    now, catalog = factory.clock(), factory.catalog
    with factory.database.read() as connection:
        history = factory.allocations.history(connection, allocation.id)
        intervals = factory.usage_store.of_allocation(connection, allocation.id)
        decision = factory.decisions.of_allocation(connection, allocation.id)
    lines = [line for interval in intervals for line in cost_lines(interval, catalog.rate_cards, now)]
    cost = costs_of(factory, [allocation]).get(allocation.id)
    verdict, reasons = why(decision.outcome, decision.reasons) if decision else ("The decision is not stored.", ())
    log = read_log(factory.settings.logs_dir / "sessions" / f"{allocation.id}.log") if may_read_log else ""
    return SessionPage(
        card=environment_card(allocation, cost=cost, catalog=catalog, now=now, paths=paths),
        facts=session_facts(allocation, catalog),
        steps=steps(allocation, history),
        verdict=verdict,
        reasons=reasons,
        costs=tuple(_cost_row(line, factory) for line in lines),
        total=str(cost) if cost else "–",
        log=log,
        log_note="Nothing was written yet." if may_read_log else "Only its owner and admins may read it.",
    )


def _cost_row(line: CostLine, factory: Factory) -> CostRow:
    seconds = (line.end - line.start).total_seconds()
    return CostRow(
        start=stamp(line.start),
        end=stamp(line.end),
        what=gpus(line.gpus, gpu_label(factory.catalog, line.gpu_type)),
        hours=hours(type(line.amount)(seconds)),
        price=price(line.price_per_hour, line.currency).removesuffix(" per hour"),
        amount=money(line.amount, line.currency),
    )


def read_log(path: Path) -> str:
    """Return the end of a log without control characters, or nothing if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            text = file.read(LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    if size > LOG_BYTES:
        text = text.partition("\n")[2]
    return "".join(c for c in text if c.isprintable() or c in "\n\t").strip("\n")
