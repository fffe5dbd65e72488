"""Renders the stock chart with our values: ``python tests/deployment/render_chart.py CHART``, where CHART is a folder or archive of it and ``helm`` is on the path.

The chart is not part of this repository; what it renders to is, so that its network policies and rights are tested everywhere.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
VALUES = ROOT / "helm-values.yaml"
RENDERED = ROOT / "tests" / "data" / "helm-rendered.yaml"
LEFT_OUT = ("Secret", "ConfigMap")
"""Random tokens, and the chart's own files."""


def render(chart: str, *values: Path) -> list[dict[str, Any]]:
    """Return the chart's objects with our values and then others."""
    command = ["helm", "template", "hub", chart, "--namespace", "jupyterhub", "--kube-version", "1.34.0"]
    for file in (VALUES, *values):
        command += ["--values", str(file)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [found for found in yaml.safe_load_all(printed) if found]


def values_digest() -> str:
    """Return what tells one state of the values from another."""
    return hashlib.sha256(VALUES.read_bytes()).hexdigest()


def main(chart: str) -> None:
    """Write the file that the tests read."""
    objects = [found for found in render(chart) if found["kind"] not in LEFT_OUT]
    for found in objects:
        annotations = found.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {})
        for name in [name for name in annotations if name.startswith("checksum/")]:
            del annotations[name]
    head = f"# Made by tests/deployment/render_chart.py from helm-values.yaml with sha256 {values_digest()}\n"
    RENDERED.write_text(head + yaml.safe_dump_all(objects, sort_keys=False))
    print(f"{len(objects)} objects in {RENDERED}")


if __name__ == "__main__":
    main(sys.argv[1])
