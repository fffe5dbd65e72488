"""(g) What a thousand active servers cost a hub with our chain and one with plain KubeSpawner, without a cluster.

As ``cluster_active.py``, but nothing is started: the rows of ``--active`` servers are written into the databases of both hubs, and a stand-in for the
cluster's API shows their pods, the same to both. Real are the hubs, their proxies, PostgreSQL and what answers in the place of the servers.

Run: python benchmarks/hub_restart.py [--active 1000 --restarts 5 --idle-seconds 60]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cluster_active import compare, measure
from cluster_hubs import BOTH, Side, StockHub
from cluster_stand_in import kubeconfig
from pairs import machine
from servers import postgresql
from sqlalchemy import create_engine, insert, select, text

from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.pods import ALLOCATION_LABEL, COMPONENT, FINALIZER, SPAWNER_LABEL, USER_ID_LABEL
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.storage.schema import allocations, gpu_leases, usage_intervals
from tests.cluster.platform_stack import ClusterStack
from tests.support.hub import free_port

GPUS_OF_A_NODE = 8


class RestartHub(ClusterStack):
    """Our hub without platform and keeper."""

    def start(self) -> None:
        self.start_proxy()
        self.start_hub()

    def remove_pods(self) -> None:
        pass


class StockRestartHub(StockHub):
    """The stock one."""

    def remove_pods(self) -> None:
        pass


def _fill_hub(hub: ClusterStack, people: tuple[str, ...], port: int) -> list[tuple[str, int, int, UUID]]:
    """Give everybody a running server in the hub's database; return name, user id, spawner id and allocation of each."""
    engine = create_engine(f"sqlite:///{hub.folder}/jupyterhub.sqlite")
    now, rows = datetime.now(UTC).replace(tzinfo=None), list[tuple[str, int, int, UUID]]()
    with engine.begin() as connection:
        ids = {row.name: int(row.id) for row in connection.execute(text("SELECT name, id FROM users"))}
        for number, person in enumerate(people, 1):
            id_ = uuid4()
            state = {
                "kubespawner_version": "7.1.0",
                "pod_name": f"jupyter-{person}",
                "namespace": hub.namespace,
                "dns_name": f"jupyter-{person}.{hub.namespace}",
            }
            if not isinstance(hub, StockHub):
                state["allocation_id"] = str(id_)
            server = "INSERT INTO servers (id, proto, ip, port, base_url, cookie_name) VALUES (:id, 'http', :ip, :port, :path, 'c')"
            connection.execute(text(server), {"id": 10_000 + number, "ip": _address(number), "port": port, "path": f"/user/{person}/"})
            connection.execute(
                text(
                    "INSERT INTO spawners (id, user_id, server_id, state, name, started, last_activity, user_options)"
                    " VALUES (:id, :user, :server, :state, '', :now, :now, :options)"
                ),
                {
                    "id": number,
                    "user": ids[person],
                    "server": 10_000 + number,
                    "state": json.dumps(state),
                    "now": now,
                    "options": json.dumps({"environment_template": "trivial", "gpus": 1, "gpu_type": "h100"}),
                },
            )
            rows.append((person, ids[person], number, id_))
    engine.dispose()
    return rows


def _fill_platform(hub: ClusterStack, rows: list[tuple[str, int, int, UUID]]) -> None:
    """Write the sessions into our own tables, each with its GPU."""
    database, at = hub.factory.database, datetime.now(UTC) - timedelta(hours=1)
    with database.write() as connection:
        devices = [device.uuid for device in (hub.factory.devices.pool(connection) or _nothing()).devices]
        common: dict[str, Any] = {"environment_template": "trivial", "gpus": 1, "gpu_type": "h100", "memory_bytes": GIB, "cpu_cores": 1, "project": "personal"}
        common |= {"cost_centre": "university", "started_at": at}
        whole: list[dict[str, Any]] = [
            {
                **common, "id": id_, "user_id": user, "user_name": name, "server_name": "", "spawner_id": spawner, "state": "active", "devices": [device],
                "door": "hub", "actor": name, "requested_at": at, "held_at": at, "starting_at": at, "ready_at": at,
            }
            for (name, user, spawner, id_), device in zip(rows, devices, strict=False)
        ]  # fmt: skip
        connection.execute(insert(allocations), whole)
        connection.execute(insert(gpu_leases), [{"device_uuid": row["devices"][0], "allocation_id": row["id"]} for row in whole])
        kept = [{**common, "id": uuid4(), "allocation_id": row["id"], "user_id": row["user_id"], "user_name": row["user_name"]} for row in whole]
        connection.execute(insert(usage_intervals), kept)
        assert connection.execute(select(allocations.c.id)).first(), "no session was written"


def _nothing() -> Any:
    raise SystemExit("the GPUs were not registered")


def _register(hub: ClusterStack, count: int) -> None:
    """Write down the slots of a cluster."""
    nodes = range(-(-count // GPUS_OF_A_NODE))
    devices = tuple(
        GpuDevice(f"node-{node}/nvidia.com/gpu/{slot}", "h100", 80 * GIB, index=slot, product_name="NVIDIA-H100-80GB-HBM3")
        for node in nodes
        for slot in range(GPUS_OF_A_NODE)
    )
    with hub.factory.database.write() as connection:
        hub.factory.devices.lock(connection)
        hub.factory.devices.register_cluster(connection, devices, frozenset(), memory_bytes=2**50, cpu_cores=100_000, at=datetime.now(UTC), shapes=())


def _pods(hub: ClusterStack, rows: list[tuple[str, int, int, UUID]], port: int) -> str:
    pods = [_pod(hub, row, port, number) for number, row in enumerate(rows, 1)]
    return json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "100000"}, "items": pods})


def _pod(hub: ClusterStack, row: tuple[str, int, int, UUID], port: int, number: int) -> dict[str, Any]:
    """Return a running pod of about the size that they have."""
    name, user, spawner, id_ = row
    path, address = f"/user/{name}/", _address(number)
    environment = {
        "JUPYTERHUB_API_TOKEN": "0" * 32, "JPY_API_TOKEN": "0" * 32, "JUPYTERHUB_CLIENT_ID": f"jupyterhub-user-{name}", "JUPYTERHUB_USER": name,
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{path}oauth_callback", "JUPYTERHUB_OAUTH_SCOPES": f'["access:servers!server={name}/", "access:servers!user={name}"]',
        "JUPYTERHUB_API_URL": hub.hub_api_url, "JUPYTERHUB_BASE_URL": "/", "JUPYTERHUB_SERVICE_PREFIX": path, "JUPYTERHUB_SERVICE_URL": f"http://0.0.0.0:{port}{path}",
        "AIPLATFORM_ALLOCATION_ID": str(id_), "AIPLATFORM_GPUS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "MEM_LIMIT": "1073741824", "CPU_LIMIT": "1.0", "JUPYTER_IMAGE_SPEC": "localhost/aiplatform-trivial:test",
    }  # fmt: skip
    labels = {
        "app.kubernetes.io/component": COMPONENT, "app.kubernetes.io/managed-by": "kubespawner", "component": COMPONENT, "app": "jupyterhub", "heritage": "jupyterhub",
        "hub.jupyter.org/username": name, "hub.jupyter.org/servername": "", "hub.jupyter.org/pod-kind": "user",
        ALLOCATION_LABEL: str(id_), SPAWNER_LABEL: str(spawner), USER_ID_LABEL: str(user),
    }  # fmt: skip
    limits = {"cpu": "1", "memory": "1073741824", "nvidia.com/gpu": "1"}
    container = {
        "name": "notebook", "image": "localhost/aiplatform-trivial:test", "args": ["/usr/bin/python3", "/opt/trivial_server.py"], "resources": {"limits": limits, "requests": limits},
        "env": [{"name": key, "value": value} for key, value in environment.items()], "ports": [{"name": "notebook-port", "containerPort": port, "protocol": "TCP"}],
        "volumeMounts": [{"name": "aiplatform-shm", "mountPath": "/dev/shm"}], "imagePullPolicy": "Never",
        "securityContext": {"capabilities": {"drop": ["ALL"]}, "runAsUser": 1000, "runAsNonRoot": True, "allowPrivilegeEscalation": False},
    }  # fmt: skip
    at = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = {
        "f:metadata": {"f:labels": {f"f:{label}": {} for label in labels}},
        "f:spec": {"f:containers": {'k:{"name":"notebook"}': {"f:env": {f"f:{e}": {} for e in environment}}}},
    }
    status = {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.0.0.1", "startTime": at, "qosClass": "Guaranteed",
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": at} for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")],
        "containerStatuses": [
            {"name": "notebook", "state": {"running": {"startedAt": at}}, "lastState": {}, "ready": True, "restartCount": 0, "started": True, "image": container["image"]}
        ],
    }  # fmt: skip
    metadata = {
        "name": f"jupyter-{name}", "namespace": hub.namespace, "uid": str(uuid4()), "resourceVersion": str(1000 + number), "creationTimestamp": at, "labels": labels,
        "annotations": {"hub.jupyter.org/username": name, "hub.jupyter.org/servername": ""}, "managedFields": [{"manager": "hub", "operation": "Update", "fieldsV1": fields}],
        **({} if isinstance(hub, StockHub) else {"finalizers": [FINALIZER]}),
    }  # fmt: skip
    spec = {
        "containers": [container], "nodeName": f"node-{number // GPUS_OF_A_NODE}", "restartPolicy": "Never", "schedulerName": "default-scheduler",
        "volumes": [{"name": "aiplatform-shm", "emptyDir": {"medium": "Memory", "sizeLimit": "512Mi"}}], "securityContext": {"fsGroup": 1000},
        "tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated", "nvidia.com/gpu")],
    }  # fmt: skip
    return {"metadata": metadata, "spec": spec, "status": status}


def _address(number: int) -> str:
    return f"127.1.{number // 250}.{number % 250 + 1}"


@contextmanager
def _program(*command: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, *command])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _hub(kind: type[ClusterStack], folder: Path, url: str, people: tuple[str, ...], port: int) -> ClusterStack:
    folder.mkdir()
    name = "stock" if issubclass(kind, StockHub) else "ours"
    extra = f"{BOTH}\nc.Authenticator.allowed_users |= {set(people)!r}\nc.JupyterHub.hub_connect_ip = '127.0.0.1'\nc.Spawner.port = {port}\n"
    kubeconfig_file = folder.parent / "kubeconfig"
    hub = kind(folder, admin_kubeconfig=kubeconfig_file, kubeconfigs={"hub": kubeconfig_file}, namespace=name, database_url=url, extra_config=extra)
    hub.prepare()
    return hub


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--active", type=int, default=1000)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--idle-seconds", type=float, default=60)
    arguments = parser.parse_args()
    print(machine(), f"load {os.getloadavg()}", flush=True)
    people = tuple(f"bench{number}" for number in range(arguments.active))
    port, api_port, benchmarks = free_port(), free_port(), Path(__file__).parent
    with tempfile.TemporaryDirectory(prefix="hub-restart-") as name, postgresql() as url:
        folder = Path(name)
        (folder / "kubeconfig").write_text(kubeconfig(api_port))
        with _program(str(benchmarks / "cluster_stand_in.py"), str(api_port), name), _program(str(benchmarks / "cluster_answers.py"), str(port)):
            hubs = [_hub(kind, folder / kind.__name__, url, people, port) for kind in (RestartHub, StockRestartHub)]
            try:
                _register(hubs[0], 2 * len(people))
                for hub in hubs:
                    hub.start()
                ours, stock = (Side(side, hub, {}) for side, hub in zip(("ours", "stock"), hubs, strict=True))
                print(f"no server, {len(people)} people known:", flush=True)
                empty = measure((ours, stock), arguments.restarts, arguments.idle_seconds)
                for hub in hubs:
                    hub.kill_hub()
                    rows = _fill_hub(hub, people, port)
                    (folder / f"{hub.namespace}.json").write_text(_pods(hub, rows, port))
                    if hub is hubs[0]:
                        _fill_platform(hub, rows)
                    hub.start_hub()
                print(f"{len(people)} active servers at each hub:", flush=True)
                full = measure((ours, stock), arguments.restarts, arguments.idle_seconds)
                compare(empty, full, len(people))
                for hub in hubs:
                    running = sum(bool(user["servers"]) for user in hub.api("GET", f"users?state=active&limit={len(people)}").json())
                    print(f"  {hub.namespace}: {running} servers are active")
            finally:
                for hub in hubs:
                    hub.close()
    print(f"load {os.getloadavg()}")


if __name__ == "__main__":
    main()
