"""Who reaches whom under the policies of both ways to install; see tests/support/network_policies.py."""

from __future__ import annotations

from typing import Any

import pytest

from aiplatform_hub.hub.namespaces import labels as namespace_labels
from aiplatform_hub.hub.namespaces import network_policy
from tests.deployment.shipped import WAYS, of_kind
from tests.support.network_policies import End, Outside, Pod, is_allowed

PEOPLE = {"aiplatform-hub/people": "true"}
SERVICE_LABELS = {"app": "jupyterhub", "hub.jupyter.org/network-access-hub": "true"}
SESSION_PORTS = {"notebook-port": 8888}
CHART_LABELS = {"app": "jupyterhub", "release": "hub"}


def person(name: str, address: str, **place: Any) -> Pod:
    """Return a person's pod with the labels that KubeSpawner gives it."""
    labels = {**CHART_LABELS, "component": "singleuser-server", "hub.jupyter.org/network-access-hub": "true"}
    return Pod(name, labels, namespace_labels=place.pop("namespace_labels", PEOPLE), address=address, ports=SESSION_PORTS, **place)


def own_namespace(name: str, number: int) -> dict[str, Any]:
    return {"namespace": name, "namespace_labels": namespace_labels(number, "jupyterhub")}


ADA, BEN = person("ada", "10.1.0.11"), person("ben", "10.1.0.12")
EVE, FAY = person("eve", "10.1.0.13", **own_namespace("jupyter-eve", 1)), person("fay", "10.1.0.14", **own_namespace("jupyter-fay", 2))
HUB = Pod(
    "hub",
    {**CHART_LABELS, "component": "hub", **{f"hub.jupyter.org/network-access-{to}": "true" for to in ("proxy-api", "proxy-http", "singleuser")}},
    namespace_labels=PEOPLE,
    address="10.1.0.1",
    ports={"http": 8081},
)
PROXY = Pod(
    "proxy",
    {**CHART_LABELS, "component": "proxy", **{f"hub.jupyter.org/network-access-{to}": "true" for to in ("hub", "singleuser")}},
    namespace_labels=PEOPLE,
    address="10.1.0.2",
    ports={"http": 8000, "api": 8001},
)
PLATFORM = Pod("platform", {**SERVICE_LABELS, "component": "platform"}, namespace_labels=PEOPLE, address="10.1.0.3", ports={"http": 8090})
KEEPER = Pod("keeper", {**SERVICE_LABELS, "component": "keeper"}, namespace_labels=PEOPLE, address="10.1.0.4", ports={"http": 8091})
POSTGRESQL = Pod("postgresql", {"app": "jupyterhub", "component": "postgresql"}, namespace_labels=PEOPLE, address="10.1.0.5", ports={"postgresql": 5432})
DNS = Pod("dns", {"k8s-app": "kube-dns"}, namespace="kube-system", address="10.1.0.6")
PROMETHEUS = Pod("prometheus", {}, namespace="monitoring", namespace_labels={"aiplatform-hub/monitoring": "true"}, address="10.1.0.7")
STRANGER = Pod("stranger", {"app": "jupyterhub"}, namespace="default", address="10.1.0.8")
METADATA = Outside("metadata address", "169.254.169.254")
API_SERVER = Outside("API server", "10.96.0.1")
API_SERVER_NODE = Outside("API server's node", "192.168.1.10")
NODE_DNS = Outside("DNS on the node", "169.254.20.10")
DATABASE_SERVER = Outside("database server", "10.20.0.5")
INTERNET = Outside("internet", "93.184.216.34")
CARRIER_NAT = Outside("carrier-grade NAT, where some clouds have pods", "100.64.3.4")

OPEN: list[tuple[End, End, int, str]] = [
    *((one, HUB, 8081, "TCP") for one in (ADA, EVE, PROXY, PLATFORM, KEEPER, PROMETHEUS)),
    *((one, DNS, 53, "UDP") for one in (ADA, HUB, PROXY, PLATFORM, KEEPER)),
    *((one, NODE_DNS, 53, "UDP") for one in (ADA, HUB, PROXY, PLATFORM, KEEPER)),
    (ADA, DNS, 53, "TCP"),
    *((one, INTERNET, 443, "TCP") for one in (ADA, EVE, HUB, KEEPER)),
    (ADA, INTERNET, 22, "TCP"),
    *((one, session, 8888, "TCP") for one in (HUB, PROXY) for session in (ADA, EVE)),
    (HUB, PROXY, 8001, "TCP"),
    (HUB, PLATFORM, 8090, "TCP"),
    *((one, PLATFORM, 8090, "TCP") for one in (PROXY, ADA, EVE)),
    (PROMETHEUS, PLATFORM, 8090, "TCP"),
    (PROMETHEUS, KEEPER, 8091, "TCP"),
    *((one, POSTGRESQL, 5432, "TCP") for one in (HUB, PLATFORM, KEEPER)),
    *((one, DATABASE_SERVER, 5432, "TCP") for one in (HUB, PLATFORM, KEEPER)),
    *((one, server, port, "TCP") for one in (HUB, KEEPER) for server, port in ((API_SERVER, 443), (API_SERVER_NODE, 6443))),
    (STRANGER, PROXY, 8000, "TCP"),
    (INTERNET, PROXY, 8000, "TCP"),
]
CLOSED: list[tuple[End, End, int, str]] = [
    *((one, METADATA, port, "TCP") for one in (ADA, HUB, PROXY, PLATFORM, KEEPER, POSTGRESQL) for port in (80, 443)),
    *((one, METADATA, 53, "UDP") for one in (ADA, HUB, PROXY)),
    *((one, other, port, "TCP") for one, other in ((ADA, BEN), (EVE, FAY), (ADA, EVE), (EVE, ADA)) for port in (8888, 22, 53, 5000)),
    *((one, server, port, "TCP") for one in (ADA, EVE, PLATFORM, PROXY) for server, port in ((API_SERVER, 443), (API_SERVER_NODE, 6443))),
    *((one, PROXY, 8001, "TCP") for one in (ADA, EVE, PLATFORM, KEEPER, STRANGER, PROMETHEUS, INTERNET)),
    *((one, POSTGRESQL, 5432, "TCP") for one in (ADA, EVE, PROXY, STRANGER, INTERNET)),
    *((one, PLATFORM, 8090, "TCP") for one in (STRANGER, KEEPER)),
    (PLATFORM, ADA, 8090, "TCP"),
    *((one, KEEPER, 8091, "TCP") for one in (ADA, STRANGER, HUB)),
    *((one, HUB, 8081, "TCP") for one in (STRANGER, INTERNET)),
    *((one, ADA, 8888, "TCP") for one in (PLATFORM, KEEPER, STRANGER, PROMETHEUS, INTERNET)),
    (STRANGER, EVE, 8888, "TCP"),
    (ADA, DATABASE_SERVER, 5432, "TCP"),
    (ADA, CARRIER_NAT, 443, "TCP"),
    (HUB, ADA, 22, "TCP"),
    (POSTGRESQL, INTERNET, 443, "TCP"),
    (PROXY, INTERNET, 443, "TCP"),
    (PLATFORM, INTERNET, 443, "TCP"),
]


def policies_of(way: str) -> list[dict[str, Any]]:
    """Return a way's policies with those that the hub makes in people's own namespaces."""
    own = [network_policy("jupyterhub") | {"metadata": {"name": "singleuser", "namespace": pod.namespace}} for pod in (EVE, FAY)]
    return [*of_kind(WAYS[way], "NetworkPolicy"), *own]


def name_of(value: object) -> str:
    return getattr(value, "name", str(value))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("source", "destination", "port", "protocol"), OPEN, ids=name_of)
def test_what_has_to_talk_can(way: str, source: End, destination: End, port: int, protocol: str) -> None:
    assert is_allowed(policies_of(way), source, destination, port, protocol)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("source", "destination", "port", "protocol"), CLOSED, ids=name_of)
def test_what_need_not_talk_cannot(way: str, source: End, destination: End, port: int, protocol: str) -> None:
    assert not is_allowed(policies_of(way), source, destination, port, protocol)


@pytest.mark.parametrize("way", WAYS)
def test_every_workload_is_under_a_policy_both_ways(way: str) -> None:
    from tests.support.network_policies import matches

    for workload in of_kind(WAYS[way], "Deployment", "StatefulSet"):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        directions = {
            direction
            for policy in of_kind(WAYS[way], "NetworkPolicy")
            if matches(policy["spec"]["podSelector"], labels)
            for direction in policy["spec"]["policyTypes"]
        }
        assert directions == {"Ingress", "Egress"}, workload["metadata"]["name"]
