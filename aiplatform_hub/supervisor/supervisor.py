"""Keeps the programs of one installation running until it is told to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from aiplatform_hub.clients.spool import Spool
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.supervisor.children import STOP_SECONDS, Child
from aiplatform_hub.supervisor.demo_people import PEOPLE, make_passwords
from aiplatform_hub.supervisor.hub_config import demo_passwords_file
from aiplatform_hub.supervisor.hub_rest import HubRest, answers
from aiplatform_hub.supervisor.preflight import check_ports
from aiplatform_hub.supervisor.preparation import Plan, warnings_of

READY_SECONDS = 120
_TICK_SECONDS = 0.2
_WATCH_SECONDS = 1.0
_HEALTH_EVERY = 10
_SILENT_CHECKS = 6
"""After so many unanswered checks a living hub is reported."""


class Supervisor:
    """Starts, adopts, watches and stops the programs of a plan."""

    def __init__(self, *, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._children = {program.name: Child(program=program, run_dir=plan.settings.run_dir, say=say) for program in plan.programs}
        # A plain value: an Event's lock deadlocks when its own waiter is interrupted by the signal that sets it.
        self._is_stopping = False
        self._routes_wanted = threading.Event()
        self._hub = HubRest(api_url=plan.settings.hub_api_url, token=plan.directory.secret("supervisor"))

    def run(self) -> None:
        """Run until SIGTERM or Ctrl-C.

        Raises
        ------
        ConfigurationError
            If a port is taken.
        ServiceUnavailableError
            If the login page does not come up; everything is stopped again.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        adopted = self._start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        if not self._wait_until_ready():
            self._end_all()
            if not self._is_stopping:
                raise ServiceUnavailableError(self._why_not_ready())
            return
        self._announce(adopted)
        while not self._is_stopping:
            time.sleep(_TICK_SECONDS)
            if not self._is_stopping:
                self._tend()
        self._say("Stopping the hub, the proxy and the services; sessions run on …")
        self._end_all()
        self._say_what_runs_on()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True

    def _start(self) -> list[str]:
        adopted = [name for name, child in self._children.items() if child.adopt()]
        check_ports((child.program for child in self._children.values()), lambda program: program.name in adopted)
        for name, child in self._children.items():
            if name not in adopted:
                child.start()
                if name == "proxy":
                    self._routes_wanted.set()
        return adopted

    def _tend(self) -> None:
        for name, child in self._children.items():
            if child.tend() and name == "proxy":
                self._routes_wanted.set()

    def _wait_until_ready(self) -> bool:
        plan = self._plan
        login = f"{plan.operator.address}hub/login"
        home = f"http://127.0.0.1:{plan.settings.platform_port}{plan.settings.api_prefix}"
        missing = [login, f"{home}api/v1/openapi.json"]
        until = time.monotonic() + READY_SECONDS
        while missing and time.monotonic() < until and not self._is_stopping:
            time.sleep(_TICK_SECONDS)
            self._tend()
            if self._has_given_up():
                return False
            missing = [address for address in missing if not answers(address)]
        return not missing

    def _has_given_up(self) -> bool:
        # At the first start a program that ends three times in a row will not come up by itself.
        return any(child.starts > 3 and not child.is_running() for child in self._children.values())  # noqa: PLR2004 - said above

    def _why_not_ready(self) -> str:
        worst = max(self._children.values(), key=lambda child: (not child.is_running(), child.starts))
        return f"The hub did not come up. Last lines of {worst.program.log_file}:\n{worst.last_log_lines()}"

    def _announce(self, adopted: list[str]) -> None:
        plan = self._plan
        if adopted:
            self._say(f"Left running as it was: {', '.join(adopted)}")
        for warning in warnings_of(plan):
            self._say(f"Note: {warning}")
        self._say(f"Ready: {plan.operator.public_address}")
        if plan.options.is_demo:
            self._announce_people()
        self._say("Ctrl-C stops the hub; sessions run on.")

    def _announce_people(self) -> None:
        passwords = make_passwords(demo_passwords_file(self._plan.settings), is_renewal=self._plan.options.new_passwords)
        if not passwords:
            names = ", ".join(person.name for person in PEOPLE)
            self._say(f"Log in as {names} with the passwords of the first start. New ones: make run ARGS=--new-passwords")
            return
        self._say("Log in as one of these people. The passwords are shown this once:")
        for person in PEOPLE:
            what = "admin" if person.is_admin else f"groups: {', '.join(person.groups)}"
            self._say(f"    {person.name:<12} {passwords[person.name]}   {what}")

    def _watch(self) -> None:
        """Write routes again after a proxy's start, and report a hub that lives but does not answer."""
        silent, ticks = 0, 0
        while not self._is_stopping:
            time.sleep(_WATCH_SECONDS)
            if self._routes_wanted.is_set() and self._hub.sync_routes():
                self._routes_wanted.clear()
            ticks += 1
            if ticks % _HEALTH_EVERY:
                continue
            is_silent = self._children["hub"].is_running() and not self._hub.is_healthy()
            if silent >= _SILENT_CHECKS and not is_silent:
                self._say("The hub answers again.")
            silent = silent + 1 if is_silent else 0
            if silent == _SILENT_CHECKS:
                self._say(f"The hub lives but has not answered for a minute; it is left alone. Look at {self._children['hub'].program.log_file}")

    def _end_all(self) -> None:
        for child in self._children.values():
            child.ask_to_stop()
        for child in self._children.values():
            child.wait_until_stopped(STOP_SECONDS)

    def _say_what_runs_on(self) -> None:
        spool = Spool(self._plan.settings.spool_dir)
        records = [spool.read(allocation_id) for allocation_id in spool.allocation_ids()]
        count = sum(1 for record in records if record and record.is_alive)
        if not count:
            self._say("Stopped. No session is running.")
            return
        is_one = count == 1
        self._say(
            f"Stopped. {count} session{'' if is_one else 's'} run{'s' if is_one else ''} on, and the next `aiplatform run` takes {'it' if is_one else 'them'} up again. "
            f"To end {'it' if is_one else 'them'} too: aiplatform stop-sessions --data-dir {self._plan.settings.data_dir}",
        )
