"""What is shipped for Kubernetes, read without kubectl or helm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENT = ROOT / "deployment"
COMMON = ("base/access", "base/services", "base/postgresql", "base/policies")
PLAIN = (*COMMON, "k8s/base/hub", "k8s/base/proxy")


def objects_in(*folders: str) -> list[dict[str, Any]]:
    """Return the objects of kustomize folders: of the files that each folder's kustomization names."""
    found = []
    for folder in folders:
        for name in yaml.safe_load((DEPLOYMENT / folder / "kustomization.yaml").read_text())["resources"]:
            found += [one for one in yaml.safe_load_all((DEPLOYMENT / folder / name).read_text()) if one]
    return found


def chart_objects() -> list[dict[str, Any]]:
    """Return what the stock chart makes of our values; see render_chart.py."""
    return list(yaml.safe_load_all((ROOT / "tests" / "data" / "helm-rendered.yaml").read_text()))


WAYS = {"plain manifests": objects_in(*PLAIN), "stock chart": [*objects_in(*COMMON), *chart_objects()]}
"""Both ways to install, and what each applies."""


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """Return the objects of some kinds."""
    return [found for found in objects if found["kind"] in kinds]


def pod_specs(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the pod specifications of all workloads by name."""
    return {found["metadata"]["name"]: found["spec"]["template"]["spec"] for found in of_kind(objects, "Deployment", "StatefulSet")}
