"""User servers as processes of this machine."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jupyterhub.utils import random_port
from traitlets import Float, default

from aiplatform_hub.clients.environments import program_of, unavailable_reason
from aiplatform_hub.clients.gpus import gpu_environment
from aiplatform_hub.clients.launcher import LaunchSpec, launch
from aiplatform_hub.clients.processes import stop_session
from aiplatform_hub.clients.spool import SessionRecord, SessionState
from aiplatform_hub.errors import ConflictError, Reason, StartFailedError
from aiplatform_hub.hub.accounts import Account, account_for, check_reach, make_home
from aiplatform_hub.hub.answers import answers
from aiplatform_hub.hub.jupyter import with_our_jupyter
from aiplatform_hub.hub.spawner import AIPlatformSpawner, printable_tail

if TYPE_CHECKING:
    from uuid import UUID

    from aiplatform_hub.domain.allocations import Allocation
    from aiplatform_hub.domain.catalog import EnvironmentTemplate
    from aiplatform_hub.domain.requests import LaunchRequest

LOG_TAIL_BYTES = 4096

PLANNING_SECONDS = 10
"""After this time a session whose runner never began is not running."""

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


class LocalSpawner(AIPlatformSpawner):
    """Starts servers as processes, each under a session runner that outlives hub and keeper."""

    stop_grace_seconds = Float(
        10,
        help="""Time between asking a server to end and killing it, in seconds.
        Default: 10.
        Example: ``c.LocalSpawner.stop_grace_seconds = 30``""",
    ).tag(config=True)

    @default("start_timeout")
    def _default_start_timeout(self) -> int:
        return 120

    @default("http_timeout")
    def _default_http_timeout(self) -> int:
        return 90

    # Before the hold

    async def check_place(self, request: LaunchRequest) -> None:
        await self.platform.in_thread(self._check_machine, self._template(request))

    def _check_machine(self, template: EnvironmentTemplate) -> None:
        environments_dir = self.platform.settings.environments_dir
        missing = unavailable_reason(template, environments_dir)
        if missing:
            raise ConflictError(missing, (Reason(code=ConflictError.code, message=missing, field="environment_template"),))
        account = self._account()
        make_home(account)
        check_reach(account, program_of(template, environments_dir))

    def _account(self) -> Account:
        return account_for(self.user.name, self.platform.settings, self.place.server_account)

    def _template(self, request: LaunchRequest) -> EnvironmentTemplate:
        return self.platform.factory.catalog.environment_templates[request.environment_template]

    def available_gpu_types(self) -> tuple[str, ...] | None:
        return self.platform.gpu_types

    # Start

    async def launch_session(self, allocation: Allocation) -> str:
        process = self.platform
        template = self._template(allocation.request)
        self.ip, self.port = "127.0.0.1", random_port()
        self.enter_stage(40, f"Starting {template.display_name}")
        launching = asyncio.ensure_future(process.in_thread(launch, self._spec(allocation, template), process.factory.spool))
        try:
            record = await asyncio.shield(launching)
        except asyncio.CancelledError:
            # The runner may be half-way: what it starts must be known before it can be stopped.
            await asyncio.wait({launching})
            raise
        if record.started_at is None:
            raise StartFailedError(record.message or "The server's process could not be started. Try again.")
        if not await process.in_thread(process.factory.meter.started, allocation.id, record.started_at):
            raise ConflictError("What was held for this server was released meanwhile. Start it again.")
        await self._wait_until_it_answers(allocation.id, time.monotonic() + self.http_timeout)
        return self._url(self.port)

    def _spec(self, allocation: Allocation, template: EnvironmentTemplate) -> LaunchSpec:
        request, account, settings = allocation.request, self._account(), self.platform.settings
        program = program_of(template, settings.environments_dir)
        return LaunchSpec(
            allocation_id=allocation.id,
            spawner_id=self.orm_spawner.id,
            user_id=self.user.orm_user.id,
            argv=(str(program), *template.command[1:], *self.args),
            env=self._environment(allocation, template, account, program),
            cwd=account.home,
            port=self.port,
            log_path=self._log_path(allocation.id),
            uid=account.uid,
            gid=account.gid,
            groups=account.groups,
            memory_bytes=request.memory_bytes,
            cpu_cores=request.cpu_cores,
            devices=allocation.devices,
            stop_grace_seconds=self.stop_grace_seconds,
        )

    def _environment(self, allocation: Allocation, template: EnvironmentTemplate, account: Account, program: Path) -> dict[str, str]:
        """Return the server's whole environment; the hub's own secrets are not in it."""
        request = allocation.request
        login = {"HOME": str(account.home), "USER": account.login, "LOGNAME": account.login, "SHELL": account.shell, "LC_ALL": "C.UTF-8"}
        chosen = {} if self.default_url else {"JUPYTERHUB_DEFAULT_URL": template.default_url}
        values = {
            "PATH": f"{program.parent}:{SYSTEM_PATH}",
            **login,
            **{key: value for key, value in self.get_env().items() if value is not None},
            **chosen,
            **template.environment,
            **gpu_environment(allocation.devices, request.gpus, request.cpu_cores),
        }
        return with_our_jupyter(values)

    @default("env_keep")
    def _default_env_keep(self) -> list[str]:
        return ["LANG", "TZ", "LD_LIBRARY_PATH"]

    async def _wait_until_it_answers(self, allocation_id: UUID, deadline: float) -> None:
        begun = time.monotonic()
        while not await self._answers(self._url(self.port)):
            seconds = int(time.monotonic() - begun)
            self.enter_stage(min(90, 60 + seconds), f"Waiting for it to answer ({seconds} s so far)")
            if await self.platform.in_thread(self._status_of, allocation_id) is not None:
                raise StartFailedError("The server ended before it answered.")
            if time.monotonic() > deadline:
                raise StartFailedError(
                    f"The server did not answer within {self.http_timeout} seconds. Try again; a first start may take longer than later ones."
                )
            # often at first, then ever less: no start waits long for the next look, and a slow one costs few looks
            await asyncio.sleep(min(0.25, 0.02 + (time.monotonic() - begun) / 8))

    async def _answers(self, url: str) -> bool:
        return await answers(url, self.server.base_url if self.server else "/")

    @staticmethod
    def _url(port: int) -> str:
        return f"http://127.0.0.1:{port}"

    # Looking at it: the spool's word, also for a hub that never saw the start

    async def current_allocation_id(self) -> UUID | None:
        if self._allocation_id is None:
            self._allocation_id = await self.platform.in_thread(self._newest) or self._stored_id
        return self._allocation_id

    def _newest(self) -> UUID | None:
        return self.platform.factory.spool.newest_for_spawner(self.orm_spawner.id)

    async def poll(self) -> int | None:
        """Return None while the server runs or that is not known, else its exit status. Never raises."""
        if self._is_starting or self._is_refused:
            return 0 if self._is_refused else None
        try:
            allocation_id = await self.current_allocation_id()
            return await self.platform.in_thread(self._status_of, allocation_id)
        except Exception:
            self.log.warning("What became of %s is not known just now", self._log_name, exc_info=True)
            return None

    def _status_of(self, allocation_id: UUID | None) -> int | None:
        spool = self.platform.factory.spool
        if allocation_id is None:
            return 0 if spool.path.is_dir() else None
        record = spool.read(allocation_id)
        if record is None:
            return None if spool.folder(allocation_id).exists() or not spool.path.is_dir() else 0
        if record.has_ended:
            return _exit_status(record)
        return 1 if self._never_began(record) else None

    def _never_began(self, record: SessionRecord) -> bool:
        """Whether the hub died between planning a session and starting its runner."""
        meta = self.platform.factory.spool.meta(record.allocation_id)
        if record.state is not SessionState.PLANNED or record.is_runner_alive or meta is None:
            return False
        return self.platform.factory.clock() - meta.created_at > timedelta(seconds=PLANNING_SECONDS)

    async def session_url(self) -> str | None:
        allocation_id = await self.current_allocation_id()
        meta = await self.platform.in_thread(self.platform.factory.spool.meta, allocation_id) if allocation_id else None
        return self._url(meta.port) if meta else None

    # Its end

    async def end_session(self, allocation_id: UUID) -> None:
        await self.platform.in_thread(stop_session, self.platform.factory.spool, allocation_id, self.stop_grace_seconds)

    async def log_tail(self, allocation_id: UUID) -> str:
        return await self.platform.in_thread(_tail, self._log_path(allocation_id))

    def _log_path(self, allocation_id: UUID) -> Path:
        return self.platform.settings.logs_dir / "sessions" / f"{allocation_id}.log"


def _exit_status(record: SessionRecord) -> int:
    if record.exit_code is not None:
        return record.exit_code
    return -record.exit_signal if record.exit_signal is not None else 1


def _tail(path: Path) -> str:
    """Return the last lines of a log, printable."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return printable_tail(text)
