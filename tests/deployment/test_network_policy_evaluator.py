"""The evaluator of NetworkPolicies is right about the rules of Kubernetes' own documentation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.network_policies import Outside, Pod, is_allowed, matches

CLIENT = Pod("client", {"app": "client"}, address="10.1.0.1")
SERVER = Pod("server", {"app": "server"}, address="10.1.0.2", ports={"web": 80})
FOREIGN = Pod("foreign", {"app": "client"}, namespace="other", namespace_labels={"team": "b"}, address="10.1.0.3")
WORLD = Outside("internet", "93.184.216.34")


def policy(app: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "jupyterhub"}, "spec": {"podSelector": {"matchLabels": {"app": app}}, **spec}}


def from_(*peers: dict[str, Any], ports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return policy("server", ingress=[{"from": list(peers), **({"ports": ports} if ports else {})}])


CASES = {
    "no policy opens all": ([], CLIENT, SERVER, 80, True),
    "a policy for somebody else changes nothing": ([policy("client", ingress=[])], CLIENT, SERVER, 80, True),
    "an empty ingress closes": ([policy("server", ingress=[])], CLIENT, SERVER, 80, False),
    "an ingress policy leaves egress open": ([policy("client", ingress=[])], CLIENT, WORLD, 443, True),
    "an empty rule allows everything": ([policy("server", ingress=[{}])], WORLD, SERVER, 81, True),
    "a pod selector means the policy's namespace": ([from_({"podSelector": {}})], CLIENT, SERVER, 80, True),
    "a pod selector does not reach another namespace": ([from_({"podSelector": {}})], FOREIGN, SERVER, 80, False),
    "a namespace selector reaches another namespace": ([from_({"namespaceSelector": {"matchLabels": {"team": "b"}}})], FOREIGN, SERVER, 80, True),
    "both selectors in one peer must hold": (
        [from_({"namespaceSelector": {"matchLabels": {"team": "b"}}, "podSelector": {"matchLabels": {"app": "x"}}})],
        FOREIGN,
        SERVER,
        80,
        False,
    ),
    "two peers are alternatives": (
        [from_({"podSelector": {"matchLabels": {"app": "x"}}}, {"namespaceSelector": {}})],
        FOREIGN,
        SERVER,
        80,
        True,
    ),
    "a port that is not named stays closed": ([from_({"podSelector": {}}, ports=[{"port": 80}])], CLIENT, SERVER, 81, False),
    "a port by name is the destination's": ([from_({"podSelector": {}}, ports=[{"port": "web"}])], CLIENT, SERVER, 80, True),
    "a port range": ([from_({"podSelector": {}}, ports=[{"port": 70, "endPort": 90}])], CLIENT, SERVER, 80, True),
    "a block": ([policy("client", egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], policyTypes=["Egress"])], CLIENT, WORLD, 443, True),
    "an exception of a block": (
        [policy("client", egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["93.0.0.0/8"]}}]}], policyTypes=["Egress"])],
        CLIENT,
        WORLD,
        443,
        False,
    ),
    "one policy's exception is another's rule": (
        [
            policy("client", egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["93.0.0.0/8"]}}]}], policyTypes=["Egress"]),
            policy("client", egress=[{"to": [{"ipBlock": {"cidr": "93.184.216.34/32"}}]}], policyTypes=["Egress"]),
        ],
        CLIENT,
        WORLD,
        443,
        True,
    ),
    "both sides must agree": (
        [policy("client", egress=[{}], policyTypes=["Egress"]), policy("server", ingress=[])],
        CLIENT,
        SERVER,
        80,
        False,
    ),
    "egress is closed where only ingress rules stand": ([policy("client", policyTypes=["Egress"])], CLIENT, SERVER, 80, False),
}


@pytest.mark.parametrize("case", CASES)
def test_a_connection_is_judged_by_the_rules(case: str) -> None:
    policies, source, destination, port, expected = CASES[case]
    assert is_allowed(policies, source, destination, port) is expected


def test_a_tcp_rule_says_nothing_of_udp() -> None:
    rules = [from_({"podSelector": {}}, ports=[{"port": 53}])]
    assert not is_allowed(rules, CLIENT, SERVER, 53, "UDP")


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [("In", ["a", "b"], True), ("In", ["b"], False), ("NotIn", ["a"], False), ("Exists", None, True), ("DoesNotExist", None, False)],
)
def test_expressions_select(operator: str, values: list[str] | None, expected: bool) -> None:
    assert matches({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]}, {"k": "a"}) is expected


@pytest.mark.parametrize("operator", ["NotIn", "DoesNotExist"])
def test_a_missing_label_is_not_in_a_set(operator: str) -> None:
    assert matches({"matchExpressions": [{"key": "other", "operator": operator, "values": ["a"]}]}, {"k": "a"})
