"""All Prometheus metrics, in one place. No user names as labels; every status value exists from the start.

What a process does itself is counted in the default registry, which the hub's own
``/metrics`` shows too. What the database says (states, ages) would be wrong in a process
that does not look, so it has a registry of its own, :data:`STATE_REGISTRY`, that only the
keeper fills and serves.
"""

from __future__ import annotations

from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from aiplatform_hub.domain.allocations import AllocationState

STATE_REGISTRY = CollectorRegistry()
"""Metrics of the platform's state as the database holds it; served by the keeper alone."""

DOORS = ("rest", "page", "hub")
"""Where a start comes in."""
DENIAL_REASONS = (
    "invalid_option",
    "profile_forbidden",
    "forbidden",
    "insufficient_scope",
    "quota_exceeded",
    "quota_in_use",
    "server_exists",
    "capacity",
    "queue_full",
    "rate_limited",
    "service_unavailable",
)
"""Codes of the errors that refuse a start."""
GPU_STATES = ("free", "held", "unhealthy", "drained")
PROCESSES = ("hub", "platform", "keeper")
CORRECTIONS = (
    "started",
    "ended",
    "lost",
    "start_failed",
    "hold_expired",
    "start_abandoned",
    "orphan_stopped",
    "unreadable",
    "failed",
)
"""What a reconciliation can find to correct."""
RELEASES_OF = ("idle", "session_cap", "class_begins", "preempted", "budget_exhausted")
"""Why the keeper ends sessions."""
TICKS = (
    "heartbeat",
    "proofs",
    "scan",
    "release",
    "dispatch",
    "reconcile",
    "state",
    "rollup",
    "storage",
    "archive",
    "devices",
    "activity",
    "namespaces",
    "notices",
    "grace",
    "estimates",
    "prune",
    "ledger",
    "invoices",
    "budgets",
    "budget-days",
    "showback",
)
"""The keeper's repeated tasks."""
NOTICE_RESULTS = ("delivered", "tried", "failed")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OTHER")
STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")


def _precreate(metric: Any, *label_values: tuple[str, ...]) -> Any:
    """Make every combination of the label values exist, at zero."""
    combinations: list[tuple[str, ...]] = [()]
    for values in label_values:
        combinations = [(*combination, value) for combination in combinations for value in values]
    for combination in combinations:
        metric.labels(*combination)
    return metric


HOLDS: Counter = _precreate(Counter("aiplatform_holds_total", "Admitted starts: resources held, by door.", ["door"]), DOORS)
QUEUED: Counter = _precreate(Counter("aiplatform_queued_total", "Starts that went into the queue, by door.", ["door"]), DOORS)
DENIALS: Counter = _precreate(Counter("aiplatform_denials_total", "Refused starts, by the code of the refusal.", ["reason"]), DENIAL_REASONS)
GPU_SECONDS_METERED: Counter = _precreate(
    Counter("aiplatform_gpu_seconds_metered_total", "GPU-seconds of intervals that this process closed, by GPU type.", ["gpu_type"]), ("none",)
)
SPAWN_OVERHEAD_SECONDS = Histogram(
    "aiplatform_spawn_overhead_seconds",
    "Time that the platform adds to a start: options, decision, hold and record, without the server's own start.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
)
RECONCILE_CORRECTIONS: Counter = _precreate(
    Counter("aiplatform_reconcile_corrections_total", "What the reconciler corrected or found, by kind.", ["kind"]), CORRECTIONS
)
RELEASES: Counter = _precreate(Counter("aiplatform_releases_total", "Sessions whose GPUs the keeper decided to take back, by cause.", ["cause"]), RELEASES_OF)
DATABASE_ERRORS = Counter("aiplatform_database_errors_total", "Transactions that failed because the database did not answer, was locked, read-only or full.")
API_REQUESTS: Counter = _precreate(
    Counter("aiplatform_api_requests_total", "Requests to the REST API and pages, by method and status class.", ["method", "status"]), METHODS, STATUS_CLASSES
)
API_REQUEST_SECONDS = Histogram(
    "aiplatform_api_request_seconds",
    "Time to answer a request to the REST API or a page.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
KEEPER_TICK_ERRORS: Counter = _precreate(Counter("aiplatform_keeper_tick_errors_total", "Runs of a keeper task that failed.", ["tick"]), TICKS)
NOTICES: Counter = _precreate(
    Counter(
        "aiplatform_notices_total",
        "Notices to people, by channel and by how a try to pass them on went: delivered, tried (again later), failed (for good).",
        ["channel", "result"],
    ),
    ("page",),
    NOTICE_RESULTS,
)
KEEPER_WRONG_CLUSTER = Gauge(
    "aiplatform_keeper_wrong_cluster", "1 while the keeper does nothing because the database belongs to another cluster, else 0.", registry=STATE_REGISTRY
)

ALLOCATIONS: Gauge = _precreate(
    Gauge("aiplatform_allocations", "Open allocations, by state.", ["state"], registry=STATE_REGISTRY),
    tuple(state.value for state in (AllocationState.QUEUED, AllocationState.HELD, AllocationState.ACTIVE)),
)
GPUS = Gauge("aiplatform_gpus", "GPUs, by type and state.", ["gpu_type", "state"], registry=STATE_REGISTRY)
GPU_UTILISATION_PERCENT = Gauge(
    "aiplatform_gpu_utilisation_percent",
    "What a GPU of this machine last did, by its index and type; NaN while nobody knows.",
    ["gpu", "gpu_type"],
    registry=STATE_REGISTRY,
)
GPU_MEMORY_USED_BYTES = Gauge(
    "aiplatform_gpu_memory_used_bytes",
    "Memory in use on a GPU of this machine, by its index and type; NaN while nobody knows.",
    ["gpu", "gpu_type"],
    registry=STATE_REGISTRY,
)
HEARTBEAT_AGE_SECONDS: Gauge = _precreate(
    Gauge("aiplatform_heartbeat_age_seconds", "Seconds since the process last wrote that it lives; NaN if it never did.", ["process"], registry=STATE_REGISTRY),
    PROCESSES,
)


def know_gpu_type(gpu_type: str) -> None:
    """Make the values of a GPU type exist before anything is counted."""
    GPU_SECONDS_METERED.labels(gpu_type)
    for state in GPU_STATES:
        GPUS.labels(gpu_type, state)


def know_channel(name: str) -> None:
    """Make the values of a notifier exist before anything is counted."""
    for result in NOTICE_RESULTS:
        NOTICES.labels(name, result)


def own_metrics() -> list[MetricWrapperBase]:
    """Return every metric of the platform, for the generated reference."""
    return [value for value in globals().values() if isinstance(value, MetricWrapperBase)]


def exposition(*, with_state: bool = False) -> bytes:
    """Return the text that Prometheus reads; with the platform's state for the keeper."""
    text = generate_latest(REGISTRY)
    return text + generate_latest(STATE_REGISTRY) if with_state else text
