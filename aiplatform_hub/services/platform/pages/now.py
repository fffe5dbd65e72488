"""Admin's first page: who runs and waits now; stop, extend, move up and drain from it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlencode
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.drains import Drain, DrainKind, drained_devices, sessions_on
from aiplatform_hub.domain.plain_text import plain_line
from aiplatform_hub.domain.queue_moves import overtaken_by
from aiplatform_hub.errors import AIPlatformError, InsufficientScopeError, InvalidOptionError, NotFoundError, Reason
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.api.desk import WHY_MOVE
from aiplatform_hub.services.platform.api.drains import WHY_DRAIN
from aiplatform_hub.services.platform.auth import STOP
from aiplatform_hub.services.platform.pages.admin import AdminPage, admin_page
from aiplatform_hub.services.platform.pages.base import costs_of
from aiplatform_hub.services.platform.pages.queue import every_line
from aiplatform_hub.services.platform.release_news import told_of
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.devices import MACHINE
from aiplatform_hub.web.view_models import now as view
from aiplatform_hub.web.view_models.formats import count
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem, problem_of

MOST_AT_ONCE = 100
"""So many sessions and requests are stopped or extended by one form."""
MOST_QUERY = 100
_DONE = {
    "stop": ("session or request is being stopped", "sessions and requests are being stopped"),
    "extend": ("session was extended", "sessions were extended"),
    "move": ("request was moved to the front", "requests were moved to the front"),
    "unmove": ("request has its usual place again", "requests have their usual places again"),
    "drain": ("drain stands: nothing new starts there", "drains stand: nothing new starts there"),
    "undrain": ("drain was undone", "drains were undone"),
}


def read_now(factory: Factory, paths: Paths, *, query: str = "", is_idle_only: bool = False, done: str = "") -> view.NowPage:
    """Read and word everything on the page."""
    catalog = factory.catalog
    with factory.database.read() as connection:
        live, pool = factory.allocations.live(connection), factory.devices.pool(connection)
        known = _known(factory, connection, live.open)
        drains = factory.drain_store.standing(connection)
    lines = every_line(factory, live.queued, live.open)
    queued = {a.id: a for a in live.queued}
    found = [a for a in live.open if view.matches(a, catalog, query) and (not is_idle_only or a.id in known.idle_since)]
    waiting = [queued[id_] for id_ in lines if view.matches(queued[id_], catalog, query) and not is_idle_only]
    whole = next((drain for drain in drains if drain.kind is DrainKind.NODE), None)
    is_kueue = factory.settings.is_kueue
    return view.NowPage(
        sessions=tuple(view.session_row(a, known, catalog, paths) for a in found[: view.MOST_ROWS]),
        requests=tuple(view.request_row(a, lines[a.id], catalog=catalog, now=known.now, paths=paths, is_kueue=is_kueue) for a in waiting[: view.MOST_ROWS]),
        gpus=view.gpu_lines(pool.devices if pool else (), live.open, catalog, known.samples, drains),
        query=query,
        is_idle_only=is_idle_only,
        sessions_in_all=len(live.open),
        requests_in_all=len(live.queued),
        sessions_found=len(found),
        requests_found=len(waiting),
        machine_drain_id=whole.id if whole else None,
        machine_note=view.drain_note(whole) if whole else "",
        place=factory.settings.place.value,
        done=done,
    )


def _known(factory: Factory, connection: Connection, opened: Sequence[Allocation]) -> view.Known:
    now = factory.clock()
    told = told_of(factory, connection, opened, now)
    return view.Known(
        samples=factory.activity.fresh_samples(connection, now),
        idle_since=factory.activity.idle_since(connection, now),
        views={id_: each.view for id_, each in told.items()},
        costs=costs_of(factory, connection, opened),
        now=now,
    )


class NowHandler(AdminPage):
    """``GET admin``."""

    tab = "now"
    is_live = True

    async def get(self) -> None:
        await self.admin()
        asked, prefix = self.fields(), f"{self.paths.platform}admin"
        query, is_idle_only = asked.get("q", "").strip()[:MOST_QUERY], asked.get("idle") == "1"
        filters = {name: value for name, value in (("q", query), ("idle", "1" if is_idle_only else "")) if value}
        self.here = f"{prefix}?{urlencode(filters)}" if filters else prefix
        done = done_sentence(asked.get("done", ""), asked.get("n", ""))
        now = await self.platform.run(read_now, self.factory, self.paths, query=query, is_idle_only=is_idle_only, done=done)
        page = await self.platform.run(admin_page, self.factory)
        self.show_tab("admin.html", page=page, now=now)


def done_sentence(what: str, number: str) -> str:
    """Return what was just done, as the address says it; empty for anything else."""
    words = _DONE.get(what)
    return f"{count(int(number), *words)}." if words and re.fullmatch(r"[0-9]{1,3}", number) else ""


class NowAction(AdminPage):
    """Does something from the page, then shows it again."""

    tab = "now"

    async def chosen(self) -> list[Allocation]:
        """Return the sessions and requests that were chosen and are not over.

        Raises
        ------
        InvalidOptionError
            If none was, or too many.
        """
        values = self.get_arguments("id")
        try:
            ids = list(dict.fromkeys(map(UUID, values)))
        except ValueError as error:
            raise NotFoundError("There is no such session or request.") from error
        if not ids or len(ids) > MOST_AT_ONCE:
            message = f"Choose up to {MOST_AT_ONCE} at once." if ids else "Choose at least one session or request first: tick the boxes in the first column."
            raise InvalidOptionError(message, (Reason(InvalidOptionError.code, message, field="id"),))
        found = await self.platform.run(_find, self.factory, ids)
        return [allocation for allocation in found if allocation.is_open or allocation.is_queued]

    async def first(self) -> Allocation:
        """Return the one request that was chosen.

        Raises
        ------
        NotFoundError
            If it waits no longer.
        """
        queued = next(iter(await self.chosen()), None)
        if queued is None or not queued.is_queued:
            raise NotFoundError("This request does not wait any more.")
        return queued

    def back(self, done: str, number: int = 1) -> None:
        """Lead to the page, which says what was done."""
        self.redirect(f"{self.paths.platform}admin?done={done}&n={number}", status=303)

    async def each(self, chosen: Sequence[Allocation], act: Callable[[Allocation], Awaitable[object]]) -> list[tuple[Allocation, AIPlatformError]]:
        """Do something to each; return those that refused, with why."""
        refused = []
        for allocation in chosen:
            try:
                await act(allocation)
            except AIPlatformError as error:
                refused.append((allocation, error))
        return refused

    async def ask(self, error: AIPlatformError | None = None) -> None:
        """Show the page that asks; with the reason why the last try was refused."""
        raise NotImplementedError

    async def do(self) -> None:
        """Do it, and lead back."""
        raise NotImplementedError

    async def get(self) -> None:
        await self.admin()
        await self.ask()

    async def post(self) -> None:
        await self.acting_admin()
        try:
            await self.do()
        except AIPlatformError as error:
            self.set_status(error.status)
            self.set_error_headers(error)
            await self.ask(error)


class StopManyHandler(NowAction):
    """``GET admin/stop`` asks and says what is lost, ``POST`` stops with a message."""

    async def ask(self, error: AIPlatformError | None = None) -> None:
        """Say what is lost."""
        chosen = await self.chosen()
        await self._show(chosen, problem_of(error) if error else None)

    async def do(self) -> None:
        """Stop each of them."""
        chosen = await self.chosen()
        if self.get_argument("ask", ""):
            self.redirect(f"{self.paths.platform}admin/stop?{urlencode([('id', str(a.id)) for a in chosen])}", status=303)
            return
        message = plain_line(self.get_argument("message", ""), field="message")
        waiting_first = sorted(chosen, key=lambda allocation: not allocation.is_queued)  # or GPUs that come free would start them
        refused = await self.each(waiting_first, lambda allocation: self._stop(allocation, message))
        if not refused:
            self.back("stop", len(chosen))
            return
        self.set_status(refused[0][1].status)
        lines = tuple(f"{a.user_name}: {a.server_name or 'default server'}: {error.message}" for a, error in refused)
        detail = f"{len(refused)} of {len(chosen)} could not be stopped; the others are being stopped."
        await self._show([allocation for allocation, _ in refused], Problem("Not stopped", detail, lines, (), {}))

    async def _stop(self, allocation: Allocation, message: str) -> None:
        if not self.principal.may(STOP, allocation.user_name, server_name=allocation.server_name):
            raise InsufficientScopeError(f"This needs the scope {STOP}!user={allocation.user_name}.")
        await self.platform.sessions.stop(allocation, self.principal, message)

    async def _show(self, chosen: Sequence[Allocation], problem: Problem | None) -> None:
        losses = await self.platform.run(_losses, self.factory, chosen, self.paths)
        message = self.get_argument("message", "")
        self.title = "Stop"
        self.show_tab("now_stop.html", losses=losses, sentences=view.loss_sentences(losses), message=message, problem=problem)


class ExtendManyHandler(NowAction):
    """``POST admin/extend``: each chosen session is kept for one more period."""

    async def ask(self, error: AIPlatformError | None = None) -> None:
        """Show the page itself, with why nothing was extended."""
        if error is None:
            self.redirect(f"{self.paths.platform}admin", status=303)
            return
        self.title = "Extend"
        self.show_tab("now_problem.html", problem=problem_of(error))

    async def do(self) -> None:
        """Extend each of them."""
        chosen = await self.chosen()
        refused = await self.each(chosen, self._extend)
        if not refused:
            self.back("extend", len(chosen))
            return
        self.set_status(refused[0][1].status)
        lines = tuple(f"{a.user_name}: {a.server_name or 'default server'}: {error.message}" for a, error in refused)
        self.title = "Extend"
        detail = f"{len(refused)} of {len(chosen)} could not be extended."
        self.show_tab("now_problem.html", problem=Problem("Not extended", detail, lines, (), {}))

    async def _extend(self, allocation: Allocation) -> None:
        if not self.principal.may(STOP, allocation.user_name, server_name=allocation.server_name):
            raise InsufficientScopeError(f"This needs the scope {STOP}!user={allocation.user_name}.")
        await self.platform.run(self.factory.releaser.extend, allocation.id, by=self.principal.name)


class MoveUpHandler(NowAction):
    """``GET admin/move`` asks why and says who is overtaken, ``POST`` moves."""

    async def ask(self, error: AIPlatformError | None = None) -> None:
        """Say who is overtaken."""
        queued = await self.first()
        row, overtaken = await self.platform.run(_overtaken, self.factory, queued, self.paths)
        self.title = "Move to the front"
        problem = problem_of(error) if error else None
        self.show_tab("now_move.html", row=row, overtaken=overtaken, reason=self.get_argument("reason", ""), problem=problem)

    async def do(self) -> None:
        """Move it."""
        reason = plain_line(self.get_argument("reason", ""), field="reason", needs=WHY_MOVE)
        queued = await self.first()
        await self.platform.run(self.factory.queue_moves.move_up, queued.id, by=self.principal.name, reason=reason)
        self.back("move")


class UndoMoveHandler(ExtendManyHandler):
    """``POST admin/move/undo``: it has its usual place again."""

    async def do(self) -> None:
        """Undo it."""
        queued = await self.first()
        await self.platform.run(self.factory.queue_moves.undo, queued.id, by=self.principal.name)
        self.back("unmove")


class DrainHandler(NowAction):
    """``GET admin/drain`` asks why and says who is on it, ``POST`` drains."""

    async def ask(self, error: AIPlatformError | None = None) -> None:
        """Say who is on it."""
        kind, target = self._what()
        name, sessions = await self.platform.run(_on, self.factory, kind, target, self.paths)
        self.title = "Drain"
        problem = problem_of(error) if error else None
        self.show_tab("now_drain.html", kind=kind.value, target=target, name=name, sessions=sessions, reason=self.get_argument("reason", ""), problem=problem)

    async def do(self) -> None:
        """Drain it."""
        kind, target = self._what()
        reason = plain_line(self.get_argument("reason", ""), field="reason", needs=WHY_DRAIN)
        await self.platform.run(self.factory.drains.drain, kind, target, by=self.principal.name, reason=reason)
        self.back("drain")

    def _what(self) -> tuple[DrainKind, str]:
        target = self.get_argument("gpu", "")
        return (DrainKind.GPU, target) if target else (DrainKind.NODE, MACHINE)


class UndoDrainHandler(ExtendManyHandler):
    """``POST admin/drain/undo``: the GPUs are given out again."""

    async def do(self) -> None:
        """Undo it."""
        text = self.get_argument("drain", "")
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise NotFoundError("There is no such drain.")
        await self.platform.run(self.factory.drains.undo, int(text), by=self.principal.name)
        self.back("undrain")


def _find(factory: Factory, ids: Sequence[UUID]) -> list[Allocation]:
    with factory.database.read() as connection:
        live = factory.allocations.live(connection)
    known = {allocation.id: allocation for allocation in (*live.open, *live.queued)}
    return [known[id_] for id_ in ids if id_ in known]


def _losses(factory: Factory, chosen: Sequence[Allocation], paths: Paths) -> tuple[view.Loss, ...]:
    with factory.database.read() as connection:
        known = _known(factory, connection, [a for a in chosen if a.is_open])
    return tuple(view.loss(allocation, known, factory.catalog, paths) for allocation in chosen)


def _overtaken(factory: Factory, queued: Allocation, paths: Paths) -> tuple[view.RequestRow, tuple[view.RequestRow, ...]]:
    """Return a request, and those that are before it."""
    with factory.database.read() as connection:
        live = factory.allocations.live(connection)
    waiting = {a.id: a for a in live.queued}
    lines = every_line(factory, live.queued, live.open)
    before = overtaken_by(queued.id, lines)

    def row(id_: UUID) -> view.RequestRow:
        return view.request_row(waiting[id_], lines[id_], catalog=factory.catalog, now=factory.clock(), paths=paths)

    if queued.id not in lines:
        raise NotFoundError("This request does not wait any more.")
    return row(queued.id), tuple(row(id_) for id_ in lines if id_ in before)


def _on(factory: Factory, kind: DrainKind, target: str, paths: Paths) -> tuple[str, tuple[view.SessionRow, ...]]:
    """Return the name of what would be drained, and the sessions on it."""
    with factory.database.read() as connection:
        pool = factory.devices.pool(connection)
        opened = factory.allocations.open(connection)
        known = _known(factory, connection, opened)
    devices = drained_devices(Drain(0, kind, target, known.now, "", ""), pool.devices if pool else ())
    if not devices:
        raise NotFoundError("There is no such GPU here.")
    lines = view.gpu_lines(devices, opened, factory.catalog, known.samples)
    name = f"GPU {lines[0].name}" if kind is DrainKind.GPU else f"the whole machine ({count(len(devices), 'GPU')})"
    return name, tuple(view.session_row(a, known, factory.catalog, paths) for a in sessions_on(devices, opened))
