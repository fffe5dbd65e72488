"""The keeper's repeated tasks."""

from __future__ import annotations

import asyncio
import logging
import os
from uuid import uuid4

from aiplatform_hub import metrics
from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.keeper import state
from aiplatform_hub.services.keeper.account import Account
from aiplatform_hub.services.keeper.budgets import BUDGET_SECONDS, DAYS_SECONDS, BudgetDuty
from aiplatform_hub.services.keeper.dispatch import LOOK_SECONDS, DispatchDuty
from aiplatform_hub.services.keeper.grace import GraceDuty
from aiplatform_hub.services.keeper.invoices import InvoiceDuty
from aiplatform_hub.services.keeper.notices import NoticeDuty
from aiplatform_hub.services.keeper.release import LOOK_SECONDS as RELEASE_SECONDS
from aiplatform_hub.services.keeper.release import ReleaseDuty
from aiplatform_hub.services.keeper.ticks import Duties, Tick
from aiplatform_hub.storage.database import DatabaseAwayError
from aiplatform_hub.storage.heartbeats import Heartbeat

ESTIMATE_SECONDS = 3.0
"""Time between two looks whether estimates of waits are to be made anew."""
LEDGER_SECONDS = 30.0
"""Time between two looks at some rows of the ledger."""
CREDIT_SECONDS = 60.0
"""Time between two looks at what credits have paid."""
SHOWBACK_SECONDS = 900.0
"""Time between two looks whether project leads are to be told of a month."""
PRUNE_SECONDS = 3600.0
"""Time between two looks for what is too old."""
ROLLUP_SECONDS = 60.0
"""Time between two looks for days whose charges are to be summed."""
_LOG = logging.getLogger(__name__)


class Keeper:
    """Runs the tasks until told to stop. A task that fails is logged, counted and runs again.

    Parameters
    ----------
    duties
        What it does at this place alone.
    hub
        Asked whether unfinished starts go on, to start those whose turn has come, and to stop whose GPUs go to others.
        None never asks: such starts stay, the queue stands still, and nothing is given back.
    pace
        Factor on the time between two runs of a task.
    """

    def __init__(self, *, factory: Factory, hub: HubApiClient | None, duties: Duties, pace: float = 1.0) -> None:
        self._factory = factory
        self._hub = hub
        self._duties = duties
        self._pace = pace
        self._instance = uuid4().hex
        self._started_at = factory.clock()
        self._account = Account()
        self._is_database_away = False
        self._is_other_away = False
        self._people: frozenset[str] = frozenset()
        self._correcting = asyncio.Lock()
        self.is_at_work = False
        """Whether what the tasks need is there."""
        self.remark = ""
        """What an operator should know though the tasks go on; empty where nothing is."""
        self._dispatch = None if hub is None else DispatchDuty(factory=factory, hub=hub)
        self._release = None if hub is None or self._dispatch is None else ReleaseDuty(factory=factory, hub=hub, claims=self._dispatch.claims)
        budgets = BudgetDuty(factory=factory, hub=hub)
        of_place = duties.ticks(self._everybody)
        self.ticks = (
            Tick("heartbeat", 10, self._heartbeat),
            *(tick for tick in of_place if not tick.is_slow),
            Tick("reconcile", 15, self._reconcile),
            Tick("scan", 1.5, self._scan),
            *(() if self._release is None else (Tick("release", RELEASE_SECONDS, self._release.look),)),
            *(() if self._dispatch is None else (Tick("dispatch", LOOK_SECONDS, self._dispatch.look),)),
            Tick("notices", 1, NoticeDuty(factory=factory).look),
            Tick("invoices", 10, InvoiceDuty(factory=factory).look),
            *(() if hub is None else (Tick("grace", 10, GraceDuty(factory=factory, hub=hub).look),)),
            Tick("budgets", BUDGET_SECONDS, budgets.look),
            Tick("estimates", ESTIMATE_SECONDS, self._estimate),
            Tick("proofs", 10, self._prove),
            Tick("state", 10, self._state),
            Tick("credits", CREDIT_SECONDS, self._burn, is_slow=True),
            Tick("showback", SHOWBACK_SECONDS, self._show_back, is_slow=True),
            Tick("ledger", LEDGER_SECONDS, self._verify, is_slow=True),
            Tick("budget-days", DAYS_SECONDS, budgets.keep_days, is_slow=True),
            Tick("prune", PRUNE_SECONDS, self._prune, is_slow=True),
            Tick("rollup", ROLLUP_SECONDS, self._roll_up, is_slow=True),
            *(tick for tick in of_place if tick.is_slow),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run every task in its rhythm until the event is set."""
        await self._duties.prepare()
        if self._release is not None:
            await self._release.begin()
        self.is_at_work = True
        for tick in self.ticks:
            if not tick.is_slow:
                await self.once(tick)  # in order: what is counted below was registered above
        await asyncio.gather(*(self._repeat(tick, stop) for tick in self.ticks))
        for duty in (self._dispatch, self._release):
            if duty is not None:
                await duty.end()

    async def _repeat(self, tick: Tick, stop: asyncio.Event) -> None:
        if tick.is_slow:
            await self.once(tick)
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), tick.seconds * self._pace)
            except TimeoutError:
                await self.once(tick)

    async def once(self, tick: Tick) -> None:
        """Run a task once; nothing it raises goes further."""
        try:
            await tick.run()
        except DatabaseAwayError as error:
            metrics.KEEPER_TICK_ERRORS.labels(tick.name).inc()
            if not self._is_database_away:
                _LOG.warning("The database does not answer; trying again until it does: %s", error.__cause__ or error)
            self._is_database_away = True
        except ServiceUnavailableError as error:  # the hub's, or the cluster's
            metrics.KEEPER_TICK_ERRORS.labels(tick.name).inc()
            if not self._is_other_away:
                _LOG.warning("%s", error)
            self._is_other_away = True
        except Exception:  # noqa: BLE001 - the edge of a background task
            metrics.KEEPER_TICK_ERRORS.labels(tick.name).inc()
            _LOG.exception("Task %s failed; it runs again in %s s", tick.name, tick.seconds)
        else:
            if self._is_database_away and tick.name in {"heartbeat", "reconcile"}:
                _LOG.warning("The database answers again")
                self._is_database_away = False
            self._is_other_away = False

    async def _heartbeat(self) -> None:
        await asyncio.to_thread(self._beat)

    def _beat(self) -> None:
        factory = self._factory
        policy = factory.policies.in_force()
        self.remark = policy.trouble
        detail = {"pid": os.getpid(), "policy_version": policy.version, "policy_trouble": policy.trouble, **self._account.detail()}
        beat = Heartbeat(process="keeper", instance=self._instance, started_at=self._started_at, at=factory.clock(), detail=detail)
        with factory.database.write() as connection:
            factory.heartbeats.beat(connection, beat)

    async def _estimate(self) -> None:
        """Remember the last passes and tell how long those who wait will wait: nobody's start waits for either."""
        await asyncio.to_thread(self._factory.queue_memory.store)
        await asyncio.to_thread(self._factory.wait_forecaster.refresh)

    async def _burn(self) -> None:
        await asyncio.to_thread(self._factory.credit_settler.settle)

    async def _verify(self) -> None:
        self._account.verified(await asyncio.to_thread(self._factory.ledger_watch.step))

    async def _roll_up(self) -> None:
        await asyncio.to_thread(self._factory.charge_rollup.step)

    async def _show_back(self) -> None:
        await asyncio.to_thread(self._factory.showback.look)

    async def _prune(self) -> None:
        await asyncio.to_thread(self._factory.pruner.prune)

    async def _prove(self) -> None:
        await asyncio.to_thread(self._factory.reconciler.prove)

    async def _scan(self) -> None:
        """Settle what has changed since the last look."""
        async with self._correcting:
            changed = await asyncio.to_thread(self._factory.reconciler.changed)
            if not changed:
                return
            try:
                found = await asyncio.to_thread(self._factory.reconciler.reconcile, changed)
            except BaseException:
                self._factory.reconciler.forget(changed)  # so that the next look sees them again
                raise
        self._account.corrected(found.counts, self._factory.clock())

    async def _reconcile(self) -> None:
        async with self._correcting:
            found = await asyncio.to_thread(self._factory.reconciler.reconcile)
        self._account.reconciled(found.counts, self._factory.clock())
        if found.counts:
            _LOG.info("Reconciled: %s", dict(found.counts))
        cut_off = [allocation.id for allocation in found.unfinished if await self._is_cut_off(allocation)]
        if cut_off:
            async with self._correcting:
                await asyncio.to_thread(self._factory.reconciler.abandon, cut_off)

    async def _is_cut_off(self, allocation: Allocation) -> bool:
        """Whether the hub says that it knows nothing of a start."""
        if self._hub is None:
            return False
        try:
            servers = await self._hub.servers_of(allocation.user_name)
        except ServiceUnavailableError as error:
            _LOG.info("Start of allocation %s is unfinished and the hub does not tell whether it goes on: %s", allocation.id, error)
            return False
        return allocation.server_name not in servers

    async def _state(self) -> None:
        self._people |= await asyncio.to_thread(state.refresh, self._factory)

    async def _everybody(self) -> frozenset[str]:
        await self._state()
        return self._people
