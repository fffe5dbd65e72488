"""One small catalogue and its people's allocations, for view models and golden pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.catalog import Catalog, CostCentre, EnvironmentTemplate, GpuType, LimitAmount, Project, Range, RateCard, Tier
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.web.view_models.frame import Frame
from aiplatform_hub.web.view_models.paths import Paths

NOW = datetime(2026, 11, 12, 14, 0, tzinfo=UTC)
PATHS = Paths("/")
HOSTILE = "<script>alert(1)</script>"
"""A title as an operator, or a name as a person, might give it."""


USUAL_MEMORY = Range(1, 64, 16)


def template(name: str, display_name: str, gpus: Range, memory: Range = USUAL_MEMORY) -> EnvironmentTemplate:
    return EnvironmentTemplate(name, display_name, f"All about {display_name}", gpus, memory, Range(1, 8, 4), ("jupyterhub-singleuser",))


CATALOG = Catalog(
    environment_templates={
        t.name: t
        for t in (
            template("jupyterlab", "JupyterLab", Range(0, 4, 0), Range(1, 64, 4)),
            template("pytorch", "PyTorch", Range(0, 4, 1)),
            template("multi-gpu", "Multi-GPU training", Range(2, 4, 4)),
            template("hostile", HOSTILE, Range(0, 1, 0)),
        )
    },
    tiers={"default": Tier("default", "Default", 0, (LimitAmount("gpus", Decimal(2)),))},
    gpu_types={"h100": GpuType("h100", "NVIDIA H100")},
    projects={
        "vision": Project("vision", "Computer vision", "cs", groups=("vision",)),
        "personal": Project("personal", "Personal", "university", is_personal=True),
    },
    cost_centres={"cs": CostCentre("cs", "Computer science"), "university": CostCentre("university", "University")},
    rate_cards=(RateCard("2026-1", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"*": Decimal("1.5")}, Decimal("0.04")),),
)

REQUEST = LaunchRequest("pytorch", 2, "h100", 16 * GIB, 4, "vision", "cs")

RUNNING = Allocation(
    id=UUID(int=1),
    user_id=7,
    user_name="ada",
    server_name="train-1",
    spawner_id=3,
    request=REQUEST,
    state=AllocationState.ACTIVE,
    devices=("GPU-a", "GPU-b"),
    door="page",
    actor="ada",
    requested_at=NOW - timedelta(hours=2, minutes=5),
    held_at=NOW - timedelta(hours=2, minutes=5),
    starting_at=NOW - timedelta(hours=2, minutes=5),
    started_at=NOW - timedelta(hours=2, minutes=4),
    ready_at=NOW - timedelta(hours=2, minutes=4),
)
STARTING = replace(
    RUNNING, id=UUID(int=2), server_name="train-2", state=AllocationState.HELD, started_at=None, ready_at=None, starting_at=NOW - timedelta(seconds=3)
)
STOPPING = replace(RUNNING, id=UUID(int=3), stop_cause=EndCause.STOPPED_BY_USER)
QUEUED = replace(
    RUNNING,
    id=UUID(int=6),
    server_name="train-3",
    state=AllocationState.QUEUED,
    devices=(),
    requested_at=NOW - timedelta(minutes=25),
    queued_at=NOW - timedelta(minutes=25),
    confirmed_at=NOW - timedelta(minutes=25),
    held_at=None,
    starting_at=None,
    started_at=None,
    ready_at=None,
)
INTEREST = timedelta(hours=24)
ENDED = replace(RUNNING, id=UUID(int=4), server_name="", state=AllocationState.ENDED, ended_at=NOW, end_cause=EndCause.OUT_OF_MEMORY)
HOSTILE_ONE = replace(ENDED, id=UUID(int=5), server_name=HOSTILE, request=replace(REQUEST, environment_template="hostile", project=HOSTILE))


def frame(active: str = "home", *, is_admin: bool = False) -> Frame:
    notice = ("The GPUs are simulated: nothing computes on a GPU here.",)
    return Frame(active.title(), PATHS, "ada", is_admin, active, notice, "token-of-the-test", f"/services/platform/{active}", "1")
