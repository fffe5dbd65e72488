"""What every object that is shipped for Kubernetes has to have, for both ways to install."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import aiplatform_hub
from aiplatform_hub.domain.pods import ALLOCATION_LABEL, COMPONENT
from aiplatform_hub.hub.helm_values import traits_of_values
from aiplatform_hub.hub.namespaces import HUB_NAMESPACE_LABEL, PEOPLE_LABEL
from tests.deployment.render_chart import RENDERED, VALUES
from tests.deployment.shipped import DEPLOYMENT, ROOT, WAYS, of_kind, pod_specs

REFERENCE = ROOT / "docs" / "reference" / "helm-values.md"
OUR_IMAGE = re.compile(rf"aiplatform-hub/(hub|proxy):{re.escape(aiplatform_hub.__version__)}")
PINNED = re.compile(r"[^@]+:[^@]+@sha256:[0-9a-f]{64}")
CHARTS_OWN = "quay.io/jupyterhub/configurable-http-proxy"
OPEN_ENDED = ("custom", "extraConfig", "extraEnv", "extraVolumes", "extraVolumeMounts", "ingress", "egress", "resources")
"""Keys whose values the chart passes on: the table has them as one row each."""


def containers() -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    for way, objects in WAYS.items():
        for name, spec in pod_specs(objects).items():
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                yield way, f"{name}/{container['name']}", spec, container


CONTAINERS = list(containers())
CONTAINER_IDS = [f"{way}: {name}" for way, name, _, _ in CONTAINERS]


@pytest.mark.parametrize(("way", "name", "spec", "container"), CONTAINERS, ids=CONTAINER_IDS)
def test_a_container_is_restricted(way: str, name: str, spec: dict[str, Any], container: dict[str, Any]) -> None:
    context = {**spec.get("securityContext", {}), **container["securityContext"]}
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] >= 999
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["allowPrivilegeEscalation"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


@pytest.mark.parametrize(("way", "name", "spec", "container"), CONTAINERS, ids=CONTAINER_IDS)
def test_a_container_says_what_it_takes(way: str, name: str, spec: dict[str, Any], container: dict[str, Any]) -> None:
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(("way", "name", "spec", "container"), CONTAINERS, ids=CONTAINER_IDS)
def test_an_image_is_ours_of_this_version_or_pinned(way: str, name: str, spec: dict[str, Any], container: dict[str, Any]) -> None:
    image = container["image"]
    assert OUR_IMAGE.fullmatch(image) or PINNED.fullmatch(image) or image.startswith(CHARTS_OWN)


@pytest.mark.parametrize("way", WAYS)
def test_only_hub_and_keeper_have_a_token_of_the_api_server(way: str) -> None:
    with_token = {name for name, spec in pod_specs(WAYS[way]).items() if spec.get("automountServiceAccountToken", True)}
    charts_proxy = {"proxy"} if way == "stock chart" else set()  # its account has no rights
    assert with_token - charts_proxy == {"hub", "keeper"}


@pytest.mark.parametrize("way", WAYS)
def test_rights_over_the_whole_cluster_are_to_see_nodes(way: str) -> None:
    rules = [rule for role in of_kind(WAYS[way], "ClusterRole") for rule in role["rules"]]
    assert rules == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}]


@pytest.mark.parametrize("way", WAYS)
def test_no_role_reads_secrets_or_has_a_wildcard(way: str) -> None:
    for role in of_kind(WAYS[way], "Role", "ClusterRole"):
        for rule in role["rules"]:
            assert "secrets" not in rule["resources"]
            assert "*" not in [*rule["resources"], *rule["verbs"], *rule["apiGroups"]]


@pytest.mark.parametrize("way", WAYS)
def test_every_workload_has_a_disruption_budget(way: str) -> None:
    guarded = [found["spec"]["selector"]["matchLabels"] for found in of_kind(WAYS[way], "PodDisruptionBudget")]
    for workload in of_kind(WAYS[way], "Deployment", "StatefulSet"):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert any(selector.items() <= labels.items() for selector in guarded), workload["metadata"]["name"]


@pytest.mark.parametrize("way", WAYS)
def test_a_service_reaches_a_pod(way: str) -> None:
    templates = [found["spec"]["template"] for found in of_kind(WAYS[way], "Deployment", "StatefulSet")]
    for service in of_kind(WAYS[way], "Service"):
        reached = [one for one in templates if service["spec"]["selector"].items() <= one["metadata"]["labels"].items()]
        names = {port["name"] for one in reached for container in one["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names, service["metadata"]["name"]


@pytest.mark.parametrize("way", WAYS)
def test_prometheus_is_told_where_to_look(way: str) -> None:
    told = set()
    for found in of_kind(WAYS[way], "Deployment", "Service"):
        metadata = found["spec"]["template"]["metadata"] if found["kind"] == "Deployment" else found["metadata"]
        if (metadata.get("annotations") or {}).get("prometheus.io/scrape") == "true":
            told.add(found["metadata"]["name"])
    assert told == {"hub", "keeper"}  # the platform's figures need a token


def test_nothing_secret_is_shipped() -> None:
    for file in DEPLOYMENT.rglob("*"):
        if file.is_file() and file.suffix in {".yaml", ".py"}:
            assert not re.search(r"^kind: Secret$", file.read_text(), re.MULTILINE), file


def test_admission_knows_the_labels_of_the_code() -> None:
    policy = (DEPLOYMENT / "base" / "policies" / "admission.yaml").read_text()
    for word in (ALLOCATION_LABEL, COMPONENT, PEOPLE_LABEL, HUB_NAMESPACE_LABEL):
        assert word in policy
    namespace = yaml.safe_load((DEPLOYMENT / "base" / "access" / "namespace.yaml").read_text())
    assert namespace["metadata"]["labels"][PEOPLE_LABEL] == "true"


def test_the_hub_of_plain_manifests_installs_as_the_repositorys_file_does() -> None:
    own = (ROOT / "jupyterhub_config.py").read_text().splitlines()
    shipped = (DEPLOYMENT / "k8s" / "base" / "hub" / "jupyterhub_config.py").read_text().splitlines()
    assert [line for line in own if "install" in line and not line.startswith(('"""', "Set"))] == [
        line for line in shipped if "install" in line and not line.startswith('"""')
    ]


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(VALUES.read_text())
    return found


def test_custom_keys_are_settings() -> None:
    assert traits_of_values(values()["custom"]["aiPlatform"])


def test_rendered_chart_is_that_of_these_values() -> None:
    assert hashlib.sha256(VALUES.read_bytes()).hexdigest() in RENDERED.read_text().splitlines()[0], "run: python tests/deployment/render_chart.py CHART"


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Yield the keys that the table explains: down to what the chart passes on as it is."""
    for key, inner in value.items():
        here = f"{path}.{key}" if path else key
        if (isinstance(inner, dict) and inner and key not in OPEN_ENDED) or here == "custom":
            yield from keys(inner, here)
        else:
            yield here


def test_the_table_has_every_key_that_we_set_and_no_other() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", REFERENCE.read_text(), re.MULTILINE)
    assert rows == list(keys(values()))
