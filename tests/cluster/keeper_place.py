"""A keeper beside a real cluster, without a hub: allocations are made through the factory, pods are applied directly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiplatform_hub
from aiplatform_hub.config import Place, Settings, arguments_of
from aiplatform_hub.domain.allocations import Allocation, ServerKey
from aiplatform_hub.domain.pods import ALLOCATION_LABEL, CONTAINER, FINALIZER
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.heartbeats import Heartbeat
from aiplatform_hub.storage.migrate import upgrade
from tests.cluster.machinery.client import wait_for
from tests.cluster.machinery.images import BASE_IMAGE
from tests.support.machine import free_port

REPOSITORY = Path(aiplatform_hub.__file__).parents[1]


class KeeperPlace:
    """One installation's database and keepers, and pods in a namespace."""

    def __init__(self, cluster: Any, namespace: str, database_url: str, **options: Any) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.folder = Path(tempfile.mkdtemp(prefix="aiplatform-keeper-"))
        self.settings = Settings(
            data_dir=self.folder / "data", database_url=database_url, place=Place.CLUSTER, namespace=namespace, keeper_port=free_port(), **options
        )
        self.settings.data_dir.mkdir()
        upgrade(database_url)
        self.factory = Factory(self.settings)
        self.keepers: list[subprocess.Popen[bytes]] = []
        self.restart_hub()

    def restart_hub(self) -> None:
        """Be another life of the hub."""
        self.instance = uuid4().hex
        now = self.factory.clock()
        with self.factory.database.write() as connection:
            self.factory.heartbeats.beat(connection, Heartbeat(process="hub", instance=self.instance, started_at=now, at=now))

    def start_keeper(self, *, kubeconfig: Path | None = None) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "KUBECONFIG": str(kubeconfig or self.cluster.kubeconfig)}
        command = [sys.executable, "-m", "aiplatform_hub.services.keeper", *arguments_of(self.settings)]
        with (self.folder / f"keeper{len(self.keepers)}.log").open("ab") as log:
            keeper = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        self.keepers.append(keeper)
        return keeper

    def log(self, number: int = 0) -> str:
        return (self.folder / f"keeper{number}.log").read_text()

    def await_devices(self) -> None:
        """Wait until the keeper has told what the cluster has."""
        wait_for(self.factory.enforcer.capacity, 20, "the cluster's capacity")

    def take_up(self, user: int = 1, gpus: int = 0) -> Allocation:
        project = next(p for p in self.factory.catalog.projects.values() if p.is_personal)
        gpu_type = next(iter(t.name for t in self.factory.enforcer.capacity() if t.total)) if gpus else None
        request = LaunchRequest("jupyterlab", gpus, gpu_type, GIB, 1, project.name, project.cost_centre)
        caller = Caller(user, f"user{user}", frozenset({"premium"}))
        return self.factory.enforcer.take_up(caller, request, ServerKey(user, "", user), door="hub", actor=caller.user_name, hub_instance=self.instance)

    def pod(self, allocation_id: UUID, command: str, *, name: str = "", memory: str = "128Mi", **container: Any) -> str:
        """Apply a pod as the spawner makes it, as far as the keeper looks."""
        name = name or f"jupyter-{allocation_id.hex[:8]}"
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"component": "singleuser-server", ALLOCATION_LABEL: str(allocation_id)}, "finalizers": [FINALIZER]},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 2,
                "containers": [
                    {
                        "name": CONTAINER,
                        "image": BASE_IMAGE,
                        "imagePullPolicy": "Never",
                        "command": ["/bin/sh", "-c", command],
                        "resources": {"limits": {"memory": memory, "cpu": "200m"}},
                        **container,
                    }
                ],
            },
        }
        self.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", given=json.dumps(manifest))
        return name

    def start(self, user: int = 1, command: str = "sleep 1000", **pod: Any) -> tuple[Allocation, str]:
        """Start a session and see it ready, as a hub does."""
        allocation = self.take_up(user)
        name = self.pod(allocation.id, command, **pod)
        wait_for(lambda: self.find(allocation.id).started_at, 20, "the keeper meters the pod")
        self.factory.meter.ready(allocation.id, self.factory.clock())
        return self.find(allocation.id), name

    def find(self, allocation_id: UUID) -> Allocation:
        with self.factory.database.read() as connection:
            found = self.factory.allocations.find(connection, allocation_id)
        assert found is not None
        return found

    def await_end(self, allocation: Allocation, seconds: float = 30) -> UsageInterval | None:
        wait_for(lambda: not self.find(allocation.id).is_open, seconds, "the ledger has the end")
        return self.interval(allocation)

    def interval(self, allocation: Allocation) -> UsageInterval | None:
        with self.factory.database.read() as connection:
            return next(iter(self.factory.usage_store.of_allocation(connection, allocation.id)), None)

    def pods(self) -> dict[str, Any]:
        return {item["metadata"]["name"]: item for item in self.cluster.get("pods", "-n", self.namespace)["items"]}

    def delete(self, name: str, *options: str) -> None:
        self.cluster.kubectl("delete", "pod", name, "-n", self.namespace, "--wait=false", *options)

    def close(self) -> None:
        for keeper in self.keepers:
            with suppress(ProcessLookupError):
                keeper.kill()
            keeper.wait(10)
        for name in self.pods():
            with suppress(Exception):
                self.cluster.kubectl("patch", "pod", name, "-n", self.namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        self.factory.close()
        shutil.rmtree(self.folder, ignore_errors=True)
