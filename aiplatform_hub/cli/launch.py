"""Launch: start or queue an environment, and wait for it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from aiplatform_hub.cli.output import INTERRUPTED, REFUSED, print_json, say
from aiplatform_hub.cli.rest import LIVE_STATES, RefusedError, RestClient
from aiplatform_hub.cli.user import local, rest_command, show_reasons
from aiplatform_hub.cli.waits import estimate_of, place_and_wait
from aiplatform_hub.domain.queue_sentences import place
from aiplatform_hub.domain.wait_words import how_long
from aiplatform_hub.errors import ServiceUnavailableError

START_SECONDS = 300
"""How long a start may take before ``--wait`` gives up; time in the queue is not counted."""
POLL_SECONDS = 1.0
QUEUE_POLL_SECONDS = 3.0
PLACE_SECONDS = 3.0
"""How long a launch that was queued waits to be told its place."""


@click.command()
@click.argument("environment_template", metavar="TEMPLATE")
@click.option("--gpus", type=int, help="Number of GPUs; default: the template's.")
@click.option("--gpu-type", help="Type of GPU.")
@click.option("--memory-gib", type=int, help="Memory in GiB.")
@click.option("--cpu-cores", type=int, help="CPU cores.")
@click.option("--project", help="Project to charge.")
@click.option("--name", "server_name", help="Name of the server; default: made from the template's.")
@click.option("--max-hours", type=int, help="Planned length in hours.")
@click.option("--user", help="For whom, if not for yourself.")
@click.option("--queue/--no-queue", "may_wait", default=True, show_default=True, help="Wait in the queue, or be refused, when it does not fit now.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--wait", is_flag=True, help="Return once the server answers, however long it is queued; Ctrl-C leaves it in the queue.")
@rest_command
def launch(client: RestClient, *, dry_run: bool, wait: bool, may_wait: bool, as_json: bool, **options: Any) -> None:
    """Start an environment from TEMPLATE, or queue it until its turn comes."""
    options["if_full"] = "queue" if may_wait else "fail"
    server_name = options.pop("server_name")
    if dry_run:
        found = client.post("decisions", options)
        show_decision(found, as_json=as_json)
        exit_if_refused(found)
        return
    given = client.post("allocations", {**options, "server_name": server_name}, headers={"Idempotency-Key": str(uuid.uuid4())})
    if wait:
        given = Wait(client, given, is_quiet=as_json).until_ready()
    elif given["state"] == "queued":
        given = _with_place(client, given)
    if as_json:
        print_json(given)
        return
    _tell(client, given)


def _tell(client: RestClient, given: Mapping[str, Any]) -> None:
    if given["state"] == "queued":
        click.echo(f"{given['server_name']} is queued: {given['id']}")
        if given["queue"]:
            click.echo(place_and_wait(given["queue"]))
        click.echo(f"It starts by itself when its turn comes. To withdraw it: aiplatform stop {given['id'][:8]}")
        return
    devices = f" on {', '.join(given['devices'])}" if given["devices"] else ""
    click.echo(f"{given['server_name']} is {'running' if given['is_ready'] else 'starting'}{devices}: {given['id']}")
    if given["must_end_at"]:
        click.echo(f"It ends at {local(given['must_end_at'])}, when a class begins for which it makes room.")
    if given["url"]:
        click.echo(client.address_of(given["url"]))


def _with_place(client: RestClient, given: Mapping[str, Any]) -> Any:
    """Return the allocation once the queue has been looked at, which takes a moment."""
    until = time.monotonic() + PLACE_SECONDS
    now = given
    while now["queue"] and now["queue"]["reason"]["code"] == "new" and time.monotonic() < until:
        time.sleep(PLACE_SECONDS / 10)
        now = client.get(f"allocations/{given['id']}")
    return now


@dataclass(slots=True)
class Wait:
    """Waits until a server answers: first for its turn, then for its start."""

    client: RestClient
    now: Mapping[str, Any]
    """The allocation as it was seen last."""
    is_quiet: bool
    _told: object = None
    _starts_by: float | None = None
    _is_away: bool = False

    def until_ready(self) -> Any:
        """Return the allocation once its server answers.

        Raises
        ------
        RefusedError
            If it ends before, or does not answer in time.
        SystemExit
            If interrupted: it goes on without being watched.
        """
        try:
            while not self.now["is_ready"]:
                self._judge()
                time.sleep(QUEUE_POLL_SECONDS if self.now["state"] == "queued" else POLL_SECONDS)
                self._look()
        except KeyboardInterrupt:
            self._leave()
            raise SystemExit(INTERRUPTED) from None
        return self.now

    def _judge(self) -> None:
        if self.now["ended_at"] is not None:
            self._follow()
        elif self.now["state"] == "queued":
            self._starts_by = None
            self._tell_place()
        else:
            self._tell_start()

    def _follow(self) -> None:
        """Go on with the request that repeats a start that failed; else say why it is over."""
        mine = self.client.allocations(most=1000, state=LIVE_STATES, user=self.now["user"])
        again = next((entry for entry in mine if entry["succeeds"] == self.now["id"]), None)
        if again is None:
            raise RefusedError(f"{self.now['server_name']} did not start: {self.now['end_cause']}. See: aiplatform show {self.now['id'][:8]}")
        self._say(f"{self.now['server_name']} could not be started and is at the front of the queue again.")
        self.now = again

    def _tell_place(self) -> None:
        queue = self.now["queue"]
        if queue is None or queue["reason"]["code"] == "new":
            return
        told = (queue["position"], queue["reason"]["code"])
        if told != self._told:
            self._told = told
            self._say(f"{self.now['server_name']}: {place_and_wait(queue)}")

    def _tell_start(self) -> None:
        if self._starts_by is None:
            self._starts_by = time.monotonic() + START_SECONDS
            self._told = None
            self._say(f"{self.now['server_name']} is starting …")
        if time.monotonic() > self._starts_by:
            short = self.now["id"][:8]
            raise RefusedError(f"{self.now['server_name']} did not answer within {START_SECONDS} s. It goes on; see: aiplatform show {short}")

    def _look(self) -> None:
        """Look again; a platform that is away for a while does not end a long wait."""
        try:
            self.now = self.client.get(f"allocations/{self.now['id']}")
        except ServiceUnavailableError as error:
            if self._starts_by is not None and time.monotonic() > self._starts_by:
                raise
            if not self._is_away:
                self._say(f"{error.message} Still waiting …")
            self._is_away = True
        except RefusedError as error:
            if error.problem_code != "rate_limited":
                raise
        else:
            self._is_away = False

    def _leave(self) -> None:
        name, short = self.now["server_name"], self.now["id"][:8]
        if self.is_quiet:
            print_json(self.now)
        elif self.now["state"] == "queued":
            say(f"\n{name} stays in the queue and starts by itself when its turn comes. To withdraw it: aiplatform stop {short}")
        else:
            say(f"\n{name} goes on starting. To stop it: aiplatform stop {short}")

    def _say(self, message: str) -> None:
        if not self.is_quiet:
            say(message)


def show_decision(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what a launch would get."""
    if as_json:
        print_json(found)
    else:
        price = found["price"]
        click.echo(f"{_would(found)}; {price['per_hour']} {price['currency']} per hour.")
        if found["outcome"] == "queue" and not any(reason["code"] == "quota_in_use" for reason in found["reasons"]):
            click.echo(how_long(estimate_of(found["wait"])))
        show_reasons(found["reasons"])


def exit_if_refused(found: Mapping[str, Any]) -> None:
    """End with exit code 1 if a launch would be refused."""
    if found["outcome"] not in {"admit", "queue"}:
        raise SystemExit(REFUSED)


def _would(found: Mapping[str, Any]) -> str:
    if found["outcome"] == "queue":
        where = place(found["position"]) if found["position"] else ""
        return f"Would wait in the queue{f', {where[0].lower()}{where[1:]}' if where else ''}"
    if found["outcome"] != "admit":
        return "Would be refused"
    ends = f" and end at {local(found['must_end_at'])}, when a class begins" if found.get("must_end_at") else ""
    return f"Would start{ends}"
