"""A right that is missing is named as the rule that gives it."""

import json

import pytest

from aiplatform_hub.clients.kubernetes.access import ClusterUnavailableError, GoneError, KubernetesApi, MissingError, MissingRightError, RefusedError

ACCOUNT = "system:serviceaccount:aiplatform:keeper"


def refusal(status, message):
    api = KubernetesApi(client=None, who="The keeper")
    return api._refusal(status, json.dumps({"message": message}).encode())


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            f'nodes is forbidden: User "{ACCOUNT}" cannot list resource "nodes" in API group "" at the cluster scope',
            "The keeper may not list nodes: add get, list, watch on nodes to the ClusterRole that is bound to aiplatform/keeper.",
        ),
        (
            f'pods "x" is forbidden: User "{ACCOUNT}" cannot delete resource "pods" in API group "" in the namespace "people"',
            "The keeper may not delete pods in namespace people: add delete on pods to the Role in namespace people that is bound to aiplatform/keeper.",
        ),
        (
            (
                f'leases.coordination.k8s.io "n" is forbidden: User "{ACCOUNT}" cannot get resource "leases" in API group "coordination.k8s.io" '
                'in the namespace "kube-node-lease"'
            ),
            (
                "The keeper may not get leases in namespace kube-node-lease: add get, list, watch on leases of API group coordination.k8s.io "
                "to the Role in namespace kube-node-lease that is bound to aiplatform/keeper."
            ),
        ),
        (
            f'namespaces "people" is forbidden: User "{ACCOUNT}" cannot get resource "namespaces" in API group "" in the namespace "people"',
            "The keeper may not get namespaces in namespace people: add get on namespaces to the Role in namespace people that is bound to aiplatform/keeper.",
        ),
        (
            'User "" cannot create resource "pods/exec" in API group "" in the namespace "people"',
            "The keeper may not create pods/exec in namespace people: add get, create on pods/exec to the Role in namespace people of its service account.",
        ),
    ],
)
def test_the_rule_is_named(message, sentence):
    error = refusal(403, message)
    assert (type(error), str(error)) == (MissingRightError, sentence)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, MissingRightError),
        (404, MissingError),
        (409, MissingError),
        (410, GoneError),
        (422, RefusedError),
        (429, ClusterUnavailableError),
        (500, ClusterUnavailableError),
    ],
)
def test_each_answer_has_its_kind(status, kind):
    assert type(refusal(status, "no")) is kind
