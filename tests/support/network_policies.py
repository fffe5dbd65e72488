"""Says what NetworkPolicies allow: no machine of ours enforces them, so the tests evaluate what was rendered.

Follows https://kubernetes.io/docs/concepts/services-networking/network-policies/: policies add up, a pod that none selects for a direction
is open in it, and a connection needs the source's egress and the destination's ingress.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """One end of a connection inside the cluster."""

    name: str
    labels: Mapping[str, str]
    namespace: str = "jupyterhub"
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    address: str = "10.244.0.99"
    ports: Mapping[str, int] = field(default_factory=dict)
    """Names of its containers' ports."""

    @property
    def all_namespace_labels(self) -> Mapping[str, str]:
        """The namespace's labels with the one that every namespace has."""
        return {"kubernetes.io/metadata.name": self.namespace, **self.namespace_labels}


@dataclass(frozen=True)
class Outside:
    """An address that is no pod's: the metadata service, the API server, the internet."""

    name: str
    address: str


End = Pod | Outside


@dataclass(frozen=True)
class Connection:
    """What one end wants of another."""

    source: End
    destination: End
    port: int
    protocol: str


def is_allowed(policies: Sequence[Policy], source: End, destination: End, port: int, protocol: str = "TCP") -> bool:
    """Say whether a connection comes about under the policies."""
    wanted = Connection(source, destination, port, protocol)
    leaves = not isinstance(source, Pod) or _direction_allows(policies, source, wanted, "Egress")
    arrives = not isinstance(destination, Pod) or _direction_allows(policies, destination, wanted, "Ingress")
    return leaves and arrives


def _direction_allows(policies: Sequence[Policy], pod: Pod, wanted: Connection, direction: str) -> bool:
    applying = [policy for policy in policies if _selects(policy, pod) and direction in _types(policy["spec"])]
    if not applying:
        return True
    rules = [(policy, rule) for policy in applying for rule in policy["spec"].get(direction.lower()) or []]
    return any(_rule_allows(rule, _namespace(policy), wanted, direction) for policy, rule in rules)


def _rule_allows(rule: Mapping[str, Any], namespace: str, wanted: Connection, direction: str) -> bool:
    peers, peer = (rule.get("to"), wanted.destination) if direction == "Egress" else (rule.get("from"), wanted.source)
    is_peer = not peers or any(_matches_peer(one, namespace, peer) for one in peers)
    return is_peer and (not rule.get("ports") or any(_matches_port(one, wanted) for one in rule["ports"]))


def _matches_peer(peer: Mapping[str, Any], namespace: str, end: End) -> bool:
    if "ipBlock" in peer:
        return _in_block(peer["ipBlock"], end.address)
    if not isinstance(end, Pod):
        return False
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], end.all_namespace_labels):
            return False
    elif end.namespace != namespace:
        return False
    return matches(peer.get("podSelector") or {}, end.labels)


def _in_block(block: Mapping[str, Any], address: str) -> bool:
    one = ip_address(address)
    return one in ip_network(block["cidr"]) and not any(one in ip_network(hole) for hole in block.get("except") or [])


def _matches_port(rule: Mapping[str, Any], wanted: Connection) -> bool:
    if rule.get("protocol", "TCP") != wanted.protocol:
        return False
    port = rule.get("port")
    if port is None:
        return True
    if isinstance(port, str):
        return isinstance(wanted.destination, Pod) and wanted.destination.ports.get(port) == wanted.port
    return int(port) <= wanted.port <= int(rule.get("endPort", port))


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Say whether a label selector selects these labels; an empty one selects all."""
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions") or []
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    return {
        "In": key in labels and labels[key] in values,
        "NotIn": key not in labels or labels[key] not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[expression["operator"]]


def _selects(policy: Policy, pod: Pod) -> bool:
    return _namespace(policy) == pod.namespace and matches(policy["spec"].get("podSelector") or {}, pod.labels)


def _namespace(policy: Policy) -> str:
    return str(policy["metadata"].get("namespace") or "jupyterhub")


def _types(spec: Mapping[str, Any]) -> Iterable[str]:
    return spec.get("policyTypes") or (["Ingress", "Egress"] if "egress" in spec else ["Ingress"])
