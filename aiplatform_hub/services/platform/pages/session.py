"""One allocation: its page, the question before a stop, and what its owner does while it waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from aiplatform_hub.config import Place
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.charges import Charge, total
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.errors import AIPlatformError, ForbiddenError, InsufficientScopeError, NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.services.platform.auth import READ, START, STOP
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.pages.base import Page, costs_of
from aiplatform_hub.services.platform.pages.home import home_page
from aiplatform_hub.services.platform.pages.queue import other_line, own_lines
from aiplatform_hub.services.platform.pages.release import notices_of
from aiplatform_hub.web.view_models.activity import ActivityBar, activity_bar
from aiplatform_hub.web.view_models.energy import energy_line
from aiplatform_hub.web.view_models.environments import Money, class_facts, environment_card, wait_facts
from aiplatform_hub.web.view_models.formats import hours, money, price, stamp
from aiplatform_hub.web.view_models.labels import gpu_label, template_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.prices import charged_what
from aiplatform_hub.web.view_models.problem import problem_of
from aiplatform_hub.web.view_models.queue import Line
from aiplatform_hub.web.view_models.session import CostRow, SessionPage, session_facts, steps, steps_with_idleness, why
from aiplatform_hub.web.view_models.session_moves import correction_note, move_steps, moved_facts
from aiplatform_hub.web.view_models.session_series import efficiency_card, series_view, smaller_url
from aiplatform_hub.web.view_models.timeline import idle_lines, timeline

MONEY_PLACES = 6
"""Decimal places of an amount before a page shows it to the cent."""
LOG_BYTES = 16_384
"""So much of the end of a log is shown."""


class OneAllocationPage(Page):
    """A page about one allocation."""

    active = "home"

    async def allocation(self, text: str) -> Allocation:
        """Return the allocation if the person may know of it.

        Raises
        ------
        NotFoundError
            If there is none, or it is not theirs to see.
        """
        found = await self.platform.run(_find, self.factory, UUID(text))
        self.is_foreign = found is not None and not self.principal.may(READ, found.user_name, server_name=found.server_name)
        if found is None or self.is_foreign:
            raise NotFoundError("There is no such session, or it is not yours.")
        self.title = template_label(self.factory.catalog, found.request.environment_template)
        return found

    async def show_session(self, allocation: Allocation, error: AIPlatformError | None = None) -> None:
        """Answer with the session's page."""
        is_own = self.principal.name == allocation.user_name
        line = await self._line(allocation, is_own=is_own) if allocation.is_queued else None
        page = await self.platform.run(session_page, self.factory, allocation, self.paths, may_read_log=is_own or self.principal.is_admin, line=line)
        if not is_own:  # it would be started for the reader, as theirs
            page = replace(page, card=replace(page.card, again={}, again_url=""), smaller_url="")
        if self.principal.is_admin and self.principal.sees_everybody and page.costs and allocation.ended_at is not None:
            page = replace(page, move_url=self.paths.move_session(allocation.id))
        self.show("session.html", page=page, problem=problem_of(error) if error else None)

    async def _line(self, allocation: Allocation, *, is_own: bool) -> Line:
        if not is_own:
            return await self.platform.run(other_line, self.factory, allocation, self.principal.name)
        owner = await self.caller()
        lines = await self.platform.run(own_lines, self.factory, owner, [allocation], ())
        return lines[allocation.id]


class SessionHandler(OneAllocationPage):
    """``GET sessions/ID``."""

    is_live = True

    async def get(self, allocation_id: str) -> None:
        await self.show_session(await self.allocation(allocation_id))


class _ChangeHandler(OneAllocationPage):
    """Changes something about an allocation, then shows the page that it was asked from."""

    async def get(self, allocation_id: str) -> None:
        """Lead to the session, for a browser that opens the address again."""
        self.redirect(self.paths.session(UUID(allocation_id)), status=303)

    async def post(self, allocation_id: str) -> None:
        allocation = await self.allocation(allocation_id)
        is_on_home = self.fields().get("back") == "home"
        try:
            self.check(allocation)
            await self.act(allocation)
        except AIPlatformError as error:
            self.set_status(error.status)
            self.set_error_headers(error)
            await self._explain(error, await self.allocation(allocation_id), is_on_home=is_on_home and self.principal.name == allocation.user_name)
            return
        self.redirect(self.paths.home_card(allocation.id) if is_on_home else self.paths.session(allocation.id), status=303)

    async def _explain(self, error: AIPlatformError, allocation: Allocation, *, is_on_home: bool) -> None:
        """Answer with the page and the refusal on it; what moves on it refreshes from its usual address."""
        if is_on_home:
            self.title, self.here = "Home", f"{self.paths.platform}home"
            page = await self.platform.run(home_page, self.factory, await self.caller(), self.paths)
            self.show("home.html", page=page, problem=problem_of(error))
            return
        self.here = self.paths.session(allocation.id)
        await self.show_session(allocation, error)

    def check(self, allocation: Allocation) -> None:
        """Refuse who may not do this."""
        raise NotImplementedError

    async def act(self, allocation: Allocation) -> None:
        """Change it."""
        raise NotImplementedError


class _QueuedHandler(_ChangeHandler):
    """Changes a queued request of the reader's own."""

    def check(self, allocation: Allocation) -> None:
        if self.principal.name != allocation.user_name:
            raise ForbiddenError("Here only its owner changes a request. An admin withdraws it, or changes it through the REST API.")
        if not self.principal.may(START, allocation.user_name, server_name=allocation.server_name):
            raise InsufficientScopeError(f"This needs the scope {START}!user={allocation.user_name}.")


class FewerGpusHandler(_QueuedHandler):
    """``POST sessions/ID/gpus``: ask for another number of GPUs."""

    async def act(self, allocation: Allocation) -> None:
        """Change the count; what is no number is refused by name."""
        text = self.fields().get("gpus", "")
        if not text.isascii() or not text.isdigit():
            raise invalid("gpus", "Choose how many GPUs to ask for.")
        await self.platform.sessions.change_gpus(allocation, int(text[:4]), self.principal)


class KeepHandler(_QueuedHandler):
    """``POST sessions/ID/keep``: it is still wanted."""

    async def act(self, allocation: Allocation) -> None:
        await self.platform.run(self.factory.queue_desk.confirm, allocation.id, by=self.principal.name)


class ExtendHandler(_ChangeHandler):
    """``POST sessions/ID/extend``: a running session is kept longer, by its owner or an admin."""

    def check(self, allocation: Allocation) -> None:
        if not self.principal.may(STOP, allocation.user_name, server_name=allocation.server_name):
            raise InsufficientScopeError(f"This needs the scope {STOP}!user={allocation.user_name}.")

    async def act(self, allocation: Allocation) -> None:
        await self.platform.run(self.factory.releaser.extend, allocation.id, by=self.principal.name)


class StopHandler(OneAllocationPage):
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
            self.set_error_headers(error)
            await self._ask(allocation, error)
            return
        self.redirect(f"{self.paths.platform}{self._back(allocation)}", status=303)

    def _back(self, allocation: Allocation) -> str:
        return "home" if self.principal.name == allocation.user_name else "admin"

    async def _ask(self, allocation: Allocation, error: AIPlatformError | None) -> None:
        cost = await self.platform.run(_cost, self.factory, allocation)
        line = await self.platform.run(other_line, self.factory, allocation, self.principal.name) if allocation.is_queued else None
        card = environment_card(allocation, cost=cost, catalog=self.factory.catalog, now=self.factory.clock(), paths=self.paths, line=line)
        self.show("stop.html", card=card, problem=problem_of(error) if error else None, back=self._back(allocation))


def _find(factory: Factory, allocation_id: UUID) -> Allocation | None:
    with factory.database.read() as connection:
        return factory.allocations.find(connection, allocation_id)


def _cost(factory: Factory, allocation: Allocation) -> Money | None:
    with factory.database.read() as connection:
        return costs_of(factory, connection, [allocation]).get(allocation.id)


def session_page(factory: Factory, allocation: Allocation, paths: Paths, *, may_read_log: bool, line: Line | None = None) -> SessionPage:
    """Read and word everything about one allocation."""
    now, catalog = factory.clock(), factory.catalog
    series = factory.session_series.read(allocation)
    with factory.database.read() as connection:
        decision = factory.decisions.of_allocation(connection, allocation.id)
        release = notices_of(factory, connection, [allocation], now).get(allocation.id)
        cost = costs_of(factory, connection, [allocation]).get(allocation.id)
    lines = _charges(factory, allocation, now)
    verdict, reasons = why(decision.outcome, decision.reasons) if decision else ("The decision is not stored.", ())
    log = read_log(factory.settings.logs_dir / "sessions" / f"{allocation.id}.log") if may_read_log else ""
    card = environment_card(allocation, cost=cost, catalog=catalog, now=now, paths=paths, line=line, release=release)
    efficiency = efficiency_card(series.efficiency)
    moves = factory.session_moves.of(allocation.id) if allocation.ended_at is not None else ()
    ends = class_facts(allocation, catalog, factory.policies.current().reservations)
    return SessionPage(
        card=card,
        facts=(*moved_facts(session_facts(allocation, catalog, wait_facts(allocation, card.wait, now) if card.wait else ()), moves), *ends),
        steps=steps_with_idleness((*steps(allocation, series.events), *move_steps(moves)), idle_lines(series.spans, now)),
        verdict=verdict,
        reasons=reasons,
        costs=tuple(_cost_row(line, factory) for line in lines),
        total=", ".join(money(rounded(amount, MONEY_PLACES), currency) for currency, amount in total(lines).items()) or "–",
        log=log,
        log_note="Nothing was written yet." if may_read_log else "Only its owner and admins may read it.",
        activity=_activity(factory, allocation, now),
        timeline=timeline(series.spans, series.events, is_over=allocation.ended_at is not None),
        series=series_view(series, allocation, catalog, is_cluster=factory.settings.place is Place.CLUSTER),
        efficiency=efficiency,
        energy=energy_line(factory.energy.of_session(allocation), _ran(allocation, now), allocation.request.gpus),
        smaller_url=smaller_url(card, efficiency, catalog, paths),
    )


def _ran(allocation: Allocation, now: datetime) -> timedelta:
    """Return how long a session has run."""
    return timedelta() if allocation.started_at is None else max((allocation.ended_at or now) - allocation.started_at, timedelta())


def _activity(factory: Factory, allocation: Allocation, now: datetime) -> ActivityBar | None:
    """Return what the GPUs did from start to end."""
    if allocation.started_at is None or not allocation.request.gpus:
        return None
    end = max(now, allocation.started_at, allocation.ended_at or now) + timedelta(seconds=1)  # a span is never empty
    return activity_bar(factory.reporter.usage(UsageQuery(allocation.started_at, end, (), {"allocation": allocation.id})).totals)


def _charges(factory: Factory, allocation: Allocation, now: datetime) -> list[Charge]:
    """Return what a session costs, as reports have it."""
    if allocation.started_at is None:
        return []
    with factory.database.read() as connection:
        found = factory.charge_reader.charges(connection, allocation.started_at, max(now, allocation.started_at), filters={"allocation": allocation.id})
        return sorted(found, key=lambda charge: (charge.start, charge.sku))


def _cost_row(charge: Charge, factory: Factory) -> CostRow:
    seconds = (charge.end - charge.start).total_seconds()
    return CostRow(
        start=stamp(charge.start),
        end=stamp(charge.end),
        what=charged_what(charge.sku, abs(charge.units), gpu_label(factory.catalog, charge.gpu_type), is_off_peak=charge.is_off_peak) + correction_note(charge),
        hours=hours(Decimal(seconds)),
        price=price(charge.price * abs(charge.units), charge.currency).removesuffix(" per hour"),
        amount=money(rounded(charge.amount, MONEY_PLACES), charge.currency),
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
