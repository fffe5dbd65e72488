"""Pages of a cluster without a cluster: a real hub and platform over a store that holds what a keeper and a spawner would have written."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from aiplatform_hub.config import Place as Kind
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import Allocation, EndCause, GpuDevice, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.storage.heartbeats import Heartbeat
from tests.support.hub import RealHub

STUDENT, OTHER = "user1", "user2"
LONG_NODE = "gke-ai-platform-production-a100-spot-pool-7f3c91d2-x8kq"
ENDS = (EndCause.NODE_LOST, EndCause.EVICTED, EndCause.PREEMPTED, EndCause.DELETED, EndCause.OUT_OF_MEMORY)
POOLS = {
    "a100-spot": {
        "display_name": "A100 spot nodes",
        "gpu_type": "a100",
        "gpus_per_node": 2,
        "memory_gib": 340,
        "cpu_cores": 46,
        "max_nodes": 3,
        "minutes_to_start": 6,
        "node_selector": {"pool": "a100-spot"},
    }
}


@dataclass
class ClusterHub(RealHub):
    """A hub on this machine whose platform takes its store for a cluster's."""

    @property
    def settings(self) -> Settings:
        return replace(super().settings, place=Kind.CLUSTER, simulated_gpus=0, is_demo=False)

    def _write_catalog(self) -> None:
        super()._write_catalog()
        folder = self.folder / "catalog"
        path = folder / "environment_templates.yaml"
        templates = json.loads(path.read_text())
        common = {"command": ["jupyterhub-singleuser"], "memory_gib": {"min": 1, "max": 64, "default": 16}, "cpu_cores": {"min": 1, "max": 8, "default": 4}}
        templates["a100"] = common | {
            "display_name": "Training on A100",
            "description": "PyTorch for one node with A100s",
            "gpu_types": ["a100"],
            "gpus": {"min": 0, "max": 4, "default": 1},
        }
        templates["whole-node"] = common | {
            "display_name": "A whole node",
            "description": "Eight GPUs at once",
            "gpu_types": ["a100"],
            "gpus": {"min": 8, "max": 8, "default": 8},
        }
        path.write_text(json.dumps(templates))
        (folder / "node_pools.yaml").write_text(json.dumps(POOLS))
        limits = [{"dimension": "gpus", "amount": 4}, {"dimension": "environments", "amount": 20}]
        (folder / "tiers.yaml").write_text(json.dumps({"default": {"display_name": "Default", "priority": 10, "limits": limits}}))

    def prepare(self) -> None:
        super().prepare()
        present = [
            *(_slot("a100", LONG_NODE, number, product="NVIDIA-A100-SXM4-80GB") for number in range(2)),
            *(_slot("a100", "a100-node-1", number, is_healthy=number != 1, product="NVIDIA-A100-SXM4-80GB") for number in range(2)),
            *(_slot("h100", "h100-node-0", number, product="NVIDIA-H100-80GB-HBM3") for number in range(4)),
            *(_slot("a100", None, number, pool="a100-spot", product="A100 spot nodes") for number in range(4)),
        ]
        with self.factory.database.write() as connection:
            self.factory.devices.register_cluster(connection, present, [], memory_bytes=900 * GIB, cpu_cores=200, at=datetime.now(UTC))

    def fill(self) -> None:
        """Store sessions in every state, and the processes' signs of life. The hub must know the people."""
        now = datetime.now(UTC)
        self._session(STUDENT, "train-on-two-a100-for-the-paper", 2, "a100", started=True)
        self._session(STUDENT, "waits", 1, "h100")
        self._session(OTHER, "others", 1, "h100", started=True)
        stopping = self._session(STUDENT, "going", 0, None, started=True)
        self.factory.meter.request_stop(stopping.id, STUDENT, EndCause.STOPPED_BY_USER)
        for cause in ENDS:
            ended = self._session(STUDENT, cause.value.replace("_", "-"), 1, "h100", started=True)
            self.factory.meter.ended(ended.id, datetime.now(UTC), cause, estimated=cause is EndCause.NODE_LOST)
        failed = self._session(STUDENT, "failed", 1, "h100")
        self.factory.meter.released(failed.id, EndCause.START_FAILED, "hub")
        with self.factory.database.write() as connection:
            for name, detail in (("hub", {"pid": 1}), ("keeper", {"pid": 7})):
                self.factory.heartbeats.beat(connection, Heartbeat(name, "1", now - timedelta(hours=3), now, detail))
        for actor, action, outcome in (("keeper", "adopt", "done"), (OTHER, "stop", "refused")):
            self.factory.audit_trail.record(None, actor, action, f"pod {LONG_NODE}/jupyter-user1--train-on-two-a100", outcome, {"code": "forbidden"})

    def _session(self, user: str, name: str, gpus: int, gpu_type: str | None, *, started: bool = False) -> Allocation:
        template = "a100" if gpu_type == "a100" else "trivial"
        request = LaunchRequest(template, gpus, gpu_type, 16 * GIB, 4, "personal", "default")
        user_id = self.user_id(user)
        enforcer, meter = self.factory.enforcer, self.factory.meter
        made = enforcer.take_up(Caller(user_id, user), request, ServerKey(user_id, name), door="page", actor=user, hub_instance="none")
        if started:
            meter.started(made.id, datetime.now(UTC))
            meter.ready(made.id, datetime.now(UTC))
        return made

    def user_id(self, user: str) -> int:
        """Return the hub's id of a person."""
        with sqlite3.connect(self.folder / "jupyterhub.sqlite") as rows:
            return int(rows.execute("SELECT id FROM users WHERE name = ?", (user,)).fetchone()[0])


def _slot(gpu_type: str, node: str | None, number: int, *, product: str, is_healthy: bool = True, pool: str | None = None) -> GpuDevice:
    host = node or f"{pool}+{number // 2}"
    return GpuDevice(f"{host}/nvidia.com/gpu/{number}", gpu_type, 0, is_healthy=is_healthy, index=number, product_name=product, node=node, node_pool=pool)
