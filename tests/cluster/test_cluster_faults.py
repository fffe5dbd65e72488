"""Faults of hub, keeper and cluster in an order drawn by the seed; each ends in the right ledger within 30 seconds.

Everything is real: the control plane, kubelet and containerd of the test cluster, a hub behind its proxy, the platform
service, the keeper in its usual rhythm, PostgreSQL, and pods with tiny servers, so that a cycle takes seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import datetime
from itertools import count

import pytest
import requests

from aiplatform_hub.config import arguments_of
from aiplatform_hub.domain.allocations import AllocationState, EndCause
from aiplatform_hub.domain.pods import ALLOCATION_LABEL
from tests.cluster.platform_stack import PROGRAMS, TRIVIAL_IMAGE, is_running
from tests.support.hub import REPOSITORY, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

SETTLED_SECONDS = 30
KUBELET_SECONDS = 120
STUCK_SECONDS = 60
"""Patience with a kubelet after its API server was away; then both start again, as a supervisor lets them when their probes fail."""
USERS = ("ada", "ben", "cleo")
STARTER = "dora"
CROWD = tuple(f"crowd{number}" for number in range(10))

CYCLES = {
    "pod deleted": 6,
    "pod deleted by force": 5,
    "out of memory": 4,
    "bad image": 2,
    "keeper killed": 5,
    "hub killed": 3,
    "hub and keeper killed": 2,
    "proxy killed": 1,
    "platform killed": 1,
    "hub killed when held": 2,
    "hub killed when the pod exists": 3,
    "hub killed when the container runs": 3,
    "two keepers": 2,
    "GPU unhealthy": 2,
    "keeper's clock an hour ahead": 1,
    "keeper's clock a day behind": 1,
    "watch cut": 3,
    "containerd killed": 1,
    "API server killed while ten start": 2,
    "etcd killed": 1,
    "node lost": 1,
}
"""How often each fault comes in a run, 51 in all."""


class PodWatch:
    """Remembers the last state of every pod, deleted ones too: what the runtime said."""

    def __init__(self, stack):
        self.stack = stack
        self.states = {}
        self.is_stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        command = ["kubectl", "--kubeconfig", str(self.stack.admin_kubeconfig), "get", "pods", "-n", self.stack.namespace, "-l", ALLOCATION_LABEL]
        while not self.is_stopping:
            self.process = subprocess.Popen([*command, "--watch", "--output=json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            decoder, text = json.JSONDecoder(), ""
            for line in self.process.stdout:
                text += line
                if line.startswith("}"):
                    self._note(decoder.decode(text))
                    text = ""
            self.process.wait()
            time.sleep(0.5)

    def _note(self, pod):
        for status in pod["status"].get("containerStatuses", []):
            self.states[pod["metadata"]["labels"][ALLOCATION_LABEL]] = status["state"]

    def stop(self):
        self.is_stopping = True
        self.process.kill()
        self.thread.join(5)


class Faults:
    def __init__(self, stack, cluster, seed):
        self.stack, self.cluster = stack, cluster
        self.random = random.Random(seed)
        self.victims = {}
        """What happened to an allocation, by id."""
        self.second_keeper = None
        self.log = []
        self.slowest = {}
        self.spent = Counter()
        """Seconds by fault, its preparation and what follows included."""
        self.numbers = count()

    # What happens

    def fill(self):
        """Let every user have a server, once the node offers its GPUs again; wait until all of them answer."""
        wait_for(self._offers_gpus, "the node offers its GPUs", KUBELET_SECONDS, 0.2)
        have = {a.user_name for a in self.stack.open_allocations()}
        for user in USERS:
            if user not in have:
                self.stack.launch(user, self.random.choice([0, 1, 1]))

    def _offers_gpus(self):
        return sum(row.unhealthy for row in self.stack.factory.enforcer.capacity()) == 0

    def happen(self, name):
        self.log.append(f"{time.strftime('%X')} {name}")
        kinds = {
            "pod deleted": lambda: self._pod(EndCause.DELETED, "--grace-period=2"),
            "pod deleted by force": lambda: self._pod(EndCause.DELETED, "--force", "--grace-period=0"),
            "out of memory": self._out_of_memory,
            "bad image": self._bad_image,
            "hub and keeper killed": lambda: self._kill("hub", "keeper"),
            "hub killed when held": lambda: self._kill_hub_when(lambda a: a is not None),
            "hub killed when the pod exists": lambda: self._kill_hub_when(lambda a: a is not None and a.id in self.stack.pods()),
            "hub killed when the container runs": lambda: self._kill_hub_when(lambda a: a is not None and a.id in self.stack.running()),
            "two keepers": self._two_keepers,
            "GPU unhealthy": self._gpu_unhealthy,
            "keeper's clock an hour ahead": lambda: self._jump(3600),
            "keeper's clock a day behind": lambda: self._jump(-86400),
            "watch cut": self._cut_watches,
            "containerd killed": lambda: self._component("containerd", 2),
            "API server killed while ten start": self._ten_starts,
            "etcd killed": self._etcd_killed,
            "node lost": self._node_lost,
        }
        if name in kinds:
            kinds[name]()
        else:
            self._kill(name.split()[0])

    def _choose(self):
        return self.random.choice([a for a in self.stack.open_allocations() if a.ready_at and a.user_name in USERS])

    def _pod(self, cause, *how):
        chosen = self._choose()
        self.victims[chosen.id] = cause
        name = self.stack.pods()[chosen.id]["metadata"]["name"]
        self.stack.kubectl("delete", "pod", name, "-n", self.stack.namespace, "--wait=false", *how)
        self._await_end(chosen)

    def _containers(self):
        return {id_ for id_, pod in self.stack.pods().items() if is_running(pod)}

    def _out_of_memory(self):
        chosen = self._choose()
        self.victims[chosen.id] = EndCause.OUT_OF_MEMORY
        headers = {"Authorization": f"token {self.stack.tokens[chosen.user_name]}"}
        requests.get(f"{self.stack.url}/user/{chosen.user_name}/eat-memory", headers=headers, timeout=30)
        self._await_end(chosen)

    def _bad_image(self):
        answer = self.stack.start_server(STARTER, "", {"environment_template": "no-image", "gpus": 1})
        assert answer.status_code >= 400 or answer.status_code == 202, answer.text
        wait_for(lambda: not self._of(STARTER), "the start with a bad image has ended", SETTLED_SECONDS)
        assert self.stack.allocations_of(STARTER)[-1].end_cause is EndCause.START_FAILED

    def _kill(self, *names):
        for name in names:
            self.stack.kill(name)
        for name in reversed(names):
            self.stack.bring_back(name)

    def _begin_start(self):
        threading.Thread(target=lambda: self._quietly(STARTER, {"environment_template": "slow", "gpus": 0}), daemon=True).start()

    def _quietly(self, user, options):
        try:
            return self.stack.start_server(user, "", options)
        except requests.RequestException:
            return None

    def _of(self, user):
        return next((a for a in self.stack.open_allocations() if a.user_name == user), None)

    def _kill_hub_when(self, has_come):
        self._begin_start()
        wait_for(lambda: has_come(self._of(STARTER)), "the start has come so far", SETTLED_SECONDS, 0.01)
        self._kill("hub")

    def _two_keepers(self):
        first = self.stack.processes["keeper"]
        self.stack.start_program("keeper")
        second = self.stack.processes["keeper"]
        wait_for(lambda: "Another keeper" in self.stack.log("keeper"), "the second keeper waits for the first", SETTLED_SECONDS)
        assert second.poll() is None
        first.kill()
        first.wait(10)

    def _gpu_unhealthy(self):
        self.cluster.set_unhealthy_gpus(3)
        wait_for(lambda: sum(row.unhealthy for row in self.stack.factory.enforcer.capacity()) == 1, "one GPU is unhealthy", SETTLED_SECONDS)
        self.cluster.set_unhealthy_gpus()
        wait_for(self._offers_gpus, "all GPUs are well", SETTLED_SECONDS)

    def _jump(self, seconds):
        self.stack.kill("keeper")
        program = [sys.executable, str(REPOSITORY / "tests" / "cluster" / "jumping_keeper.py"), str(seconds)]
        self.stack.processes["keeper"] = self.stack._start("keeper", [*program, *arguments_of(self.stack.settings)])
        chosen = self._choose()
        self.victims[chosen.id] = EndCause.DELETED
        self.stack.kubectl("delete", "pod", self.stack.pods()[chosen.id]["metadata"]["name"], "-n", self.stack.namespace, "--wait=false", "--grace-period=1")
        self._await_end(chosen)
        self.stack.kill("keeper")
        self.stack.bring_back("keeper")

    def _cut_watches(self):
        """End the API server in good order: every watch is cut, and some events are missed."""
        chosen = self._choose()
        self.victims[chosen.id] = EndCause.DELETED
        name = self.stack.pods()[chosen.id]["metadata"]["name"]
        self.stack.kubectl("delete", "pod", name, "-n", self.stack.namespace, "--wait=false", "--grace-period=1")
        self._restart_control_plane("apiserver")
        self._await_end(chosen)

    def _restart_control_plane(self, name):
        """Bring a part back, and with it what usually ends and starts again when it loses the API server: its watches would come back late."""
        for part in (name, "scheduler", "controller-manager"):
            self.cluster.restart(part)
        self._await_kubelet()

    def _await_kubelet(self):
        """Wait until a pod that is nobody's starts: the kubelet comes back to the API server in its own time, and only then is it for us to be quick."""
        try:
            self._start_probe()
        except AssertionError:
            kubelet = self.cluster.program("kubelet").tail()
            print(f"\nno pod within {STUCK_SECONDS} s after the API server was away, kubelet and API server start again\n{kubelet}", file=sys.__stderr__)
            for part in ("apiserver", "kubelet"):
                self.cluster.restart(part)
            self._start_probe()

    def _start_probe(self):
        pod = ("pod", f"probe-{next(self.numbers)}", "-n", "default")
        spec = '{"spec": {"automountServiceAccountToken": false}}'
        self.stack.kubectl("run", *pod[1:], f"--image={TRIVIAL_IMAGE}", "--image-pull-policy=Never", "--restart=Never", f"--overrides={spec}")
        try:
            wait_for(lambda: self._phase(*pod) not in {"", "Pending"}, "the kubelet starts pods again", STUCK_SECONDS, 0.3)
        finally:
            self.stack.kubectl("delete", *pod, "--force", "--grace-period=0", is_checked=False)

    def excuse_lost_node(self, since, before):
        """Note whose session ended with the node: where the control plane too found it silent since an instant, as a kubelet may be for a while."""
        conditions = self.cluster.get("node", self.cluster.node)["status"]["conditions"]
        ready = next(condition for condition in conditions if condition["type"] == "Ready")
        if datetime.fromisoformat(ready["lastTransitionTime"]).timestamp() < int(since):
            return
        lost = {id_ for id_ in before if self.stack.find(id_).end_cause is EndCause.NODE_LOST}
        self.victims |= dict.fromkeys(lost, EndCause.NODE_LOST)

    def _phase(self, *pod):
        return self.stack.kubectl("get", *pod, "--output=jsonpath={.status.phase}", is_checked=False)

    def _component(self, name, seconds):
        self.cluster.kill(name)
        time.sleep(seconds)
        self.cluster.restart(name)

    def _etcd_killed(self):
        self.cluster.kill("etcd")
        time.sleep(3)
        self.cluster.restart("etcd")
        self._restart_control_plane("apiserver")  # as its liveness probe does: its own watches of etcd may stand still for minutes

    def _ten_starts(self):
        threads = [threading.Thread(target=self._quietly, args=(user, {"environment_template": "trivial", "gpus": 0}), daemon=True) for user in CROWD]
        for thread in threads:
            thread.start()
        wait_for(lambda: sum(a.user_name in CROWD for a in self.stack.open_allocations()) >= 5, "some of the ten are held", SETTLED_SECONDS, 0.01)
        self.cluster.kill("apiserver")
        time.sleep(2)
        self._restart_control_plane("apiserver")
        for thread in threads:
            thread.join(60)

    def _node_lost(self):
        """Stop the kubelet: what ran there ends with the node's last sign of life, and its pods never come back to the ledger."""
        before = [a for a in self.stack.open_allocations() if a.ready_at]
        lost_at = time.time()
        self.cluster.kill("kubelet")
        wait_for(lambda: not any(self.stack.find(a.id).is_open for a in before), "the ledger has let go of the lost node", SETTLED_SECONDS)
        for allocation in before:
            self.victims[allocation.id] = EndCause.NODE_LOST
            [interval] = self.stack.intervals()[allocation.id]
            assert interval.estimated
            assert abs(interval.ended_at.timestamp() - lost_at) < 5
        self.cluster.restart("kubelet")
        self.cluster.heal()

    def _await_end(self, allocation):
        # A kubelet that lost the API server comes back to it in its own time, and until then the container does run.
        wait_for(lambda: allocation.id not in self._containers(), f"the container of {allocation.id} has ended", KUBELET_SECONDS, 0.2)
        wait_for(lambda: not self.stack.find(allocation.id).is_open, f"{allocation.id} has ended\n{self.stack.log('keeper')}", SETTLED_SECONDS)

    # What must be true then

    def await_order(self, name):
        began = time.monotonic()
        while (problem := self.disorder()) is not None:
            assert time.monotonic() < began + SETTLED_SECONDS, f"not settled: {problem}\n{self.log}\n{self.stack.log()}\n{self.stack.log('keeper')}"
            time.sleep(0.2)
        self.slowest[name] = max(self.slowest.get(name, 0.0), time.monotonic() - began)

    def disorder(self):
        if not self.stack.is_up():
            return "the hub or the platform service does not answer through the proxy"
        opened = {a.id: a for a in self.stack.open_allocations()}
        running = self.stack.running()
        if opened.keys() != running or any(a.state is not AllocationState.ACTIVE or not a.ready_at for a in opened.values()):
            return f"open {opened}, running {running}"
        left = [pod["metadata"]["name"] for id_, pod in self.stack.pods().items() if id_ not in running and not is_the_kubelets(pod)]
        if left:
            return f"ended pods are still there: {left}"
        with self.stack.factory.database.read() as connection:
            leased = self.stack.factory.allocations.leased(connection)
        if sorted(leased.items()) != sorted((uuid, id_) for id_, a in opened.items() for uuid in a.devices):
            return "leases differ from the devices of running servers"
        silent = [a.user_name for a in opened.values() if not self.stack.answers(a.user_name)]
        return f"{silent} do not answer through the proxy" if silent else None

    def stop_all_but_users(self):
        for user in (STARTER, *CROWD):
            if self._of(user):
                wait_for(lambda user=user: self.stack.stop_server(user).status_code in {204, 404}, f"{user} has stopped", SETTLED_SECONDS, 0.3)
        wait_for(lambda: not any(self._of(user) for user in (STARTER, *CROWD)), "they have all stopped", SETTLED_SECONDS)


def is_the_kubelets(pod):
    """Whether a pod is deleted and its kubelet, which may have lost the API server for a while, has yet to end it."""
    return "deletionTimestamp" in pod["metadata"] and pod["status"].get("phase") not in {"Succeeded", "Failed"}


@pytest.fixture(scope="module")
def stack(make_stack):
    return make_stack(people=(*USERS, STARTER, *CROWD))


def test_after_every_fault_the_ledger_equals_what_ran(stack, cluster, seed):
    faults, watch = Faults(stack, cluster, seed), PodWatch(stack)
    cycles = [name for name, count in CYCLES.items() for _ in range(count)]
    chosen = os.environ.get("AIPLATFORM_FAULTS")
    cycles = [name for name in cycles if not chosen or name in chosen.split(",")]
    faults.random.shuffle(cycles)
    try:
        for name in cycles:
            began = time.monotonic()
            faults.fill()
            faults.await_order("(start)")
            before, since = {a.id for a in stack.open_allocations()}, time.time()
            faults.happen(name)
            faults.await_order(name)
            faults.excuse_lost_node(since, before)
            gone = before - stack.running()
            assert gone <= faults.victims.keys(), f"stopped by nobody: {gone}\n{faults.log}"
            faults.stop_all_but_users()
            faults.spent[name] += time.monotonic() - began
        _check_ledger(stack, faults, watch)
    finally:
        watch.stop()
        cluster.heal()
    print(f"\n{len(cycles)} faults; slowest to settle, in seconds: { {name: round(s, 1) for name, s in sorted(faults.slowest.items())} }", file=sys.__stderr__)
    print(f"seconds of each kind: { {name: round(s) for name, s in faults.spent.most_common()} }", file=sys.__stderr__)


def _check_ledger(stack, faults, watch):
    stack.factory.verifier.verify()
    compared = Counter()
    for id_, intervals in stack.intervals().items():
        [interval] = intervals
        cause = faults.victims.get(id_)
        if cause is not None:
            assert interval.end_cause is cause, (interval, cause)
            assert interval.estimated == (cause is EndCause.NODE_LOST)
        ended = watch.states.get(str(id_), {}).get("terminated")
        if ended and not interval.estimated:
            assert interval.started_at == datetime.fromisoformat(ended["startedAt"])
            assert interval.ended_at == datetime.fromisoformat(ended["finishedAt"])
            compared[interval.end_cause] += 1
    assert compared, "no end could be compared with the runtime's word"
    print(f"\nends equal to the container's own times: {dict(compared)}", file=sys.__stderr__)


def test_a_program_ended_in_good_order_ends_no_session(stack):
    faults = Faults(stack, None, 0)
    faults.fill()
    before = stack.running()
    for name in PROGRAMS:
        stack.kill(name, signal.SIGTERM)
    assert stack.running() == before
    for name in ("proxy", "keeper", "platform", "hub"):
        stack.bring_back(name)
    faults.await_order("restart")
    assert stack.running() == before
