"""``python -m aiplatform_hub.services.platform.twin_run``: what policies would do with the last weeks, as JSON.

A program of its own, because it computes for seconds: the platform answers meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from datetime import UTC
from typing import Any

from aiplatform_hub.config import add_arguments, settings_from
from aiplatform_hub.domain.policy import SHIPPED, Policy
from aiplatform_hub.domain.twin import Trace, simulate
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.efficiency import DAYS
from aiplatform_hub.operations.trace_export import ExportQuery
from aiplatform_hub.reports.twin_scores import scores_json

NICE = 10


def forecast(factory: Factory) -> dict[str, Any]:
    """Return the figures of the policy in force and of the shipped one with this place's own demand. Reads the database."""
    export = factory.trace_exporter.export(ExportQuery(DAYS, UTC))
    found = factory.policies.in_force()
    head = {"policy_version": found.version, "sessions": len(export.demand.sessions), "days": export.days, "gpus": export.gpus_now}
    if not export.demand.sessions or not export.gpus_now:
        return {**head, "policies": {}}
    trace = Trace("own demand", export.gpus_now, export.days * 86400.0, export.demand.sessions)
    policies = {"in_force": found.policy} | ({} if found.policy == SHIPPED else {"shipped": SHIPPED})
    return {**head, "policies": {name: scores_json([simulate(trace, _plain(policy))])["mean"] for name, policy in policies.items()}}


def _plain(policy: Policy) -> Policy:
    """Return a policy without its classes: their days are not those of the trace."""
    return replace(policy, reservations=())


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aiplatform_hub.services.platform.twin_run")
    add_arguments(parser)
    os.nice(NICE)
    factory = Factory(settings_from(parser.parse_args(arguments)))
    print(json.dumps(forecast(factory)))  # noqa: T201 - for the platform
    factory.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
