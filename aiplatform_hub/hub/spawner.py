"""The chain inside the hub, the same on every place: options, decision, hold, start, meter, settle.

A place (processes of one machine, containers, pods) subclasses :class:`AIPlatformSpawner`
and says how a session is launched, looked at and ended.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from jupyterhub.slugs import is_valid_safe_slug
from jupyterhub.spawner import Spawner, SpawnException
from jupyterhub.utils import maybe_future
from traitlets import default

from aiplatform_hub.domain.allocations import EndCause, ServerKey
from aiplatform_hub.domain.options import resolve
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import AIPlatformError, InvalidOptionError, Reason, ServiceUnavailableError, StartFailedError
from aiplatform_hub.hub.first_check import check_while_it_runs
from aiplatform_hub.hub.jupyter import SERVICE_URL_VARIABLE, server_scopes, service_address
from aiplatform_hub.hub.options_form import options_from_strings, render_options_form
from aiplatform_hub.hub.process import RECORD_SECONDS, HubProcess, shared_by
from aiplatform_hub.hub.refusals import confirm_on_launch, refusal
from aiplatform_hub.hub.traits import AIPlatform
from aiplatform_hub.storage.database import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiplatform_hub.domain.allocations import Allocation
    from aiplatform_hub.domain.requests import LaunchRequest

ACTOR = "hub"
"""Who did it, in rows that the hub writes without knowing the person."""

KEEPER = "keeper"
"""Name of the service that starts what was held for somebody who waited."""

LOG_TAIL_LINES = 20

PROGRESS_SECONDS = 0.3
"""Time between two looks at how far a start is."""

STOP_SECONDS = 3
"""How long a stop waits for a busy database to take its cause, before it goes on without."""


class AIPlatformSpawner(Spawner):
    """Validates, decides, holds and meters around the start and stop of any kind of server."""

    # of the class, as long as nothing is known of a server: a hub makes a spawner for everybody
    _allocation_id: UUID | None = None
    _stored_id: UUID | None = None
    _is_starting = False
    _is_refused = False
    _stage = (5, "Checking your limits")
    _projects: frozenset[str] = frozenset()
    _telling: asyncio.Future[None] | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.hub is not None:
            with suppress(RuntimeError):  # no running loop: a hub that only upgrades its database
                asyncio.get_running_loop()
                self.platform.start_heartbeat()

    # What a place says

    @abstractmethod
    async def check_place(self, request: LaunchRequest) -> None:
        """Refuse, with an :class:`AIPlatformError`, what this place cannot start; before anything is held."""

    @abstractmethod
    async def launch_session(self, allocation: Allocation) -> str:
        """Start the session, open its interval and return its URL once it answers."""

    @abstractmethod
    async def end_session(self, allocation_id: UUID) -> None:
        """Stop the session; nothing of it runs afterwards. Idempotent."""

    @abstractmethod
    async def log_tail(self, allocation_id: UUID) -> str:
        """Return the last lines of the session's log, empty if there are none."""

    @abstractmethod
    async def poll(self) -> int | None:
        """Return None while the session runs or that is not known, else its exit status. Never raises."""

    @abstractmethod
    async def session_url(self) -> str | None:
        """Return where the running session listens, without the path of its server; None if that is not known. May raise."""

    # Shared parts

    @property
    def place(self) -> AIPlatform:
        """The operator's settings."""
        return shared_by(self.config, self.base_url).place

    @property
    def base_url(self) -> str:
        """The hub's base URL, with slashes at both ends."""
        return str(self.hub.base_url).removesuffix("hub/")

    @property
    def platform(self) -> HubProcess:
        """What the spawners of this process share."""
        return shared_by(self.config, self.base_url).process

    @property
    def caller(self) -> Caller:
        """The server's owner, as the hub knows them now."""
        return Caller(self.user.orm_user.id, self.user.name, frozenset(group.name for group in self.user.groups), self._projects)

    async def know_projects(self) -> None:
        """Read to which projects the owner belongs now by a membership: it counts at each launch.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        process = self.platform
        self._projects = await process.in_thread(process.factory.memberships.projects_of, self.user.name)

    @property
    def server_key(self) -> ServerKey:
        """Identity of this server."""
        return ServerKey(user_id=self.user.orm_user.id, server_name=self.name, spawner_id=self.orm_spawner.id)

    @default("poll_interval")
    def _default_poll_interval(self) -> int:
        return 5

    @default("server_token_scopes")
    def _default_server_token_scopes(self) -> Callable[[Spawner], list[str]]:
        return server_scopes

    def get_env(self) -> dict[str, Any]:
        return {SERVICE_URL_VARIABLE: service_address(self.platform.settings), **super().get_env()}

    def enter_stage(self, percent: int, words: str) -> None:
        """Tell whoever watches the start how far it is."""
        self._stage = (percent, words)

    # Options: untrusted each time

    async def get_options_form(self) -> str:
        """Return the form of the spawn page. It is never empty: without a form, a GET would start the server."""
        form = await super().get_options_form()
        return str(form) if form else await render_options_form(self)

    def run_options_from_form(self, form_data: dict[str, list[Any]]) -> dict[str, Any]:
        return options_from_strings(form_data)

    def options_from_query(self, query_data: dict[str, list[str]]) -> NoReturn:
        raise confirm_on_launch(query_data, self.name, self.base_url)

    def validated_request(self, options: object) -> LaunchRequest:
        """Return the request that the options state.

        Raises
        ------
        AIPlatformError
            If an option or the server's name is not valid, or not for this person.
        """
        if self.name and not is_valid_safe_slug(self.name):
            sentence = "A server name has 1 to 30 lower-case letters, digits and single hyphens, starts with a letter and ends with a letter or digit."
            raise InvalidOptionError(sentence, (Reason(code=InvalidOptionError.code, message=sentence, field="server_name"),))
        return resolve(options, catalog=self.platform.factory.catalog, caller=self.caller, available_gpu_types=self.available_gpu_types())

    def available_gpu_types(self) -> tuple[str, ...] | None:
        """Return the GPU types of this place, in order of preference; None if the place does not say."""
        return None

    async def _run_apply_user_options(self, user_options: object) -> None:
        # The hub stores whatever PUT and PATCH send: options are checked here, before anything reads them. It calls this in each start.
        with self._refusing():
            await self.platform.know_gpus()
            await self.know_projects()
            self.validated_request(user_options)
        if self.apply_user_options:
            await super()._run_apply_user_options(user_options)

    # Start

    async def start(self) -> str:
        """Decide, hold and start; return the server's URL once it answers."""
        self._is_starting = True
        try:
            with self._refusing():
                allocation = await self._take_up()
            return await self._launch(allocation)
        finally:
            self._is_starting = False

    async def _take_up(self) -> Allocation:
        self.enter_stage(5, "Checking your limits")
        request = self.validated_request(self.user_options)
        await self.check_place(request)
        process = self.platform
        hold = partial(
            process.factory.enforcer.take_up,
            self.caller,
            request,
            self.server_key,
            door="hub",
            actor=self._actor(),
            hub_instance=process.instance,
            is_dispatched=self._is_dispatched(),
        )
        allocation = await process.decide(hold, self._release)
        self._allocation_id = allocation.id
        count = request.gpus
        self.enter_stage(20, f"{count} {'GPU is' if count == 1 else 'GPUs are'} yours" if count else "Your environment has its place")
        return allocation

    def _actor(self) -> str:
        """Return the name of whoever asked for the start: the owner, an admin or a service."""
        asking = getattr(self.handler, "current_user", None) if self.handler else None
        return str(getattr(asking, "name", "") or self.user.name)

    def _is_dispatched(self) -> bool:
        """Return whether the keeper starts it, for somebody who waited in the queue."""
        asking = getattr(self.handler, "current_user", None) if self.handler else None
        return getattr(asking, "kind", "") == "service" and getattr(asking, "name", "") == KEEPER

    def _release(self, allocation: Allocation) -> None:
        self.platform.factory.meter.released(allocation.id, EndCause.START_FAILED, ACTOR)

    async def _launch(self, allocation: Allocation) -> str:
        try:
            return await self.launch_session(allocation)
        except BaseException as error:
            # Also when the start is cancelled or takes too long: nothing may run or stay held for it.
            await asyncio.shield(self._abort(allocation.id))
            if not isinstance(error, Exception):
                raise
            raise self._start_refusal(error, await self.log_tail(allocation.id)) from error

    async def _abort(self, allocation_id: UUID) -> None:
        try:
            await self.end_session(allocation_id)
            await self.settle_session(allocation_id, EndCause.START_FAILED)
        except Exception:
            self.log.exception("The failed start of %s could not be settled; the keeper will do it", self._log_name)

    def _start_refusal(self, error: Exception, log_tail: str) -> SpawnException:
        if not isinstance(error, AIPlatformError):
            self.log.error("The start of %s failed", self._log_name, exc_info=error)
            error = StartFailedError("The server could not be started. Try again; if it fails again, tell an administrator.")
        return refusal(error, self.base_url, log_tail=log_tail)

    def _refusing(self) -> _Refusing:
        return _Refusing(self)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Say in plain words what the start is doing."""
        told = None
        while True:
            if self._stage != told:
                told = self._stage
                yield {"progress": told[0], "message": told[1]}
            await asyncio.sleep(PROGRESS_SECONDS)

    # Life and end

    def add_poll_callback(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        # The hub calls this once the server answers and its route exists: it is ready.
        super().add_poll_callback(callback, *args, **kwargs)
        self._telling = asyncio.ensure_future(self._tell_ready(is_found=self._check_pending))

    async def _tell_ready(self, *, is_found: bool) -> None:
        try:
            allocation_id = await self.current_allocation_id()
            if allocation_id is None:
                return
            process = self.platform
            if is_found:  # an earlier life of the hub started it
                process.found_ready(allocation_id)
            else:
                await process.record(partial(process.factory.meter.ready, allocation_id, process.factory.clock()), RECORD_SECONDS)
        except Exception:
            self.log.warning("That %s is ready could not be recorded", self._log_name, exc_info=True)
        finally:
            self._telling = None

    async def get_url(self) -> str:
        """Return where the server listens, as the hub stores it. A hub that starts checks it for as long as the session runs."""
        url = str(self.server.url)
        try:
            known = await self.session_url()
            url = f"{known.rstrip('/')}{self.server.base_url}" if known else url
        except Exception:
            self.log.warning("Where %s listens is not known just now", self._log_name, exc_info=True)
        if self._check_pending:
            check_while_it_runs(self.server, self._has_ended)
        return url

    async def _has_ended(self) -> bool:
        """Whether a hub that starts need not wait any longer for an answer."""
        return not self._check_pending or await self.poll() is not None

    async def current_allocation_id(self) -> UUID | None:
        """Return the allocation of the latest start of this server, if one is known."""
        return self._allocation_id

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self._allocation_id is not None:
            state["allocation_id"] = str(self._allocation_id)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        with suppress(KeyError, TypeError, ValueError):
            self._stored_id = UUID(state["allocation_id"])

    def clear_state(self) -> None:
        super().clear_state()
        self._is_refused = False
        self._allocation_id = self._stored_id = None

    async def stop(self, now: bool = False) -> None:  # noqa: ARG002 - the hub's signature; the grace is short as it is
        """Stop the server and settle its usage."""
        allocation_id = await self.current_allocation_id()
        if allocation_id is None:
            return
        process = self.platform
        telling = self._telling
        if telling is not None:  # else the end of who was ready a moment ago would read as a start that failed
            await asyncio.wait({telling}, timeout=STOP_SECONDS)
        try:
            await process.record(partial(process.factory.meter.request_stop, allocation_id, ACTOR, EndCause.STOPPED), STOP_SECONDS)
        except ServiceUnavailableError:
            self.log.warning("Stopping %s without a recorded cause: the platform's database does not answer", self._log_name)
        await self.end_session(allocation_id)

    async def settle_session(self, allocation_id: UUID, cause: EndCause | None) -> None:
        """Bring the rows up to the runtime's word on the end. Idempotent; does nothing while it runs.

        ``cause`` is recorded for what never began.
        """
        await self.platform.in_thread(self._settle, allocation_id, cause)

    def _settle(self, allocation_id: UUID, cause: EndCause | None) -> None:
        factory = self.platform.factory
        factory.reconciler.reconcile((allocation_id,))
        if cause is not None:
            factory.meter.released(allocation_id, cause, ACTOR)

    async def run_post_stop_hook(self) -> None:
        """Settle the usage, also of servers that ended by themselves; then run the operator's hook."""
        try:
            if self._allocation_id is not None:
                await self.settle_session(self._allocation_id, None)
        except Exception:
            self.log.warning("The end of %s could not be recorded yet; the keeper will do it", self._log_name, exc_info=True)
        await maybe_future(super().run_post_stop_hook())

    async def rename(self, old_name: str, new_name: str) -> None:
        """Keep our rows right when a stopped server gets another name."""
        with self._refusing():
            if new_name and not is_valid_safe_slug(new_name):
                raise InvalidOptionError("A server name has 1 to 30 lower-case letters, digits and single hyphens.")
            process = self.platform
            before = ServerKey(self.user.orm_user.id, old_name)
            await process.in_thread(process.factory.meter.renamed, self.orm_spawner.id, new_name, before=before)
        await super().rename(old_name, new_name)


def printable_tail(text: str) -> str:
    """Return the last lines of a log without control characters."""
    lines = ["".join(c if c.isprintable() or c == "\t" else " " for c in line) for line in text.splitlines()]
    return "\n".join(lines[-LOG_TAIL_LINES:])


class _Refusing:
    """Turns what goes wrong before a start into the hub's spawn error, never into a plain failure of the hub."""

    def __init__(self, spawner: AIPlatformSpawner) -> None:
        self._spawner = spawner

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None or isinstance(error, SpawnException) or not isinstance(error, Exception):
            return
        spawner = self._spawner
        spawner._is_refused = True  # noqa: SLF001 - one half of the same class
        if not isinstance(error, AIPlatformError) or error.status >= 500:  # noqa: PLR2004 - HTTP's boundary
            spawner.log.error("No decision for %s", spawner._log_name, exc_info=error)  # noqa: SLF001 - the hub's own name for log lines
        if not isinstance(error, AIPlatformError):
            error = ServiceUnavailableError(UNAVAILABLE, retry_after_seconds=5)
        raise refusal(error, spawner.base_url) from error
