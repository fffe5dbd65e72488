"""A launch form with a choice in every state, made as the real one is, from a catalogue of examples."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from aiplatform_hub.domain.catalog import Catalog, CostCentre, EnvironmentTemplate, GpuType, Project, Range, Tier
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.errors import Reason
from aiplatform_hub.web.launch_form import choices_of
from aiplatform_hub.web.view_models.launch import LaunchForm, Offer, launch_form
from aiplatform_hub.web.view_models.launch_chips import Quote
from aiplatform_hub.web.view_models.problem import Problem

_CHOSEN = EnvironmentTemplate("pytorch", "PyTorch", "Deep learning with notebooks", Range(0, 3, 1), Range(1, 64, 16), Range(1, 8, 4), ("sample",))
_TEMPLATES = (
    _CHOSEN,
    replace(_CHOSEN, name="jupyterlab", display_name="JupyterLab", description="Notebooks, files and terminals"),
    replace(_CHOSEN, name="code-server", display_name="VS Code"),
)
_PROJECTS = (Project("vision", "Computer vision", "sample"), Project("personal", "Personal", "sample", is_personal=True))
_CATALOG = Catalog(
    environment_templates={template.name: template for template in _TEMPLATES},
    tiers={"default": Tier("default", "Default", 0, ())},
    gpu_types={"h100": GpuType("h100", "NVIDIA H100"), "a100": GpuType("a100", "NVIDIA A100")},
    projects={project.name: project for project in _PROJECTS},
    cost_centres={"sample": CostCentre("sample", "Sample")},
    rate_cards=(),
)
_TAKEN = Reason("capacity", "All are in use.", "gpus", "machine", "4", "4", "2")
_OVER = Reason("quota_exceeded", "You may hold 2.", "gpus", "user:sample", "2", "0", "3")
_DECISIONS = {
    0: Decision(Outcome.ADMIT),
    1: Decision(Outcome.ADMIT),
    2: Decision(Outcome.QUEUE, None, (_TAKEN,)),
    3: Decision(Outcome.DENY, "quota_exceeded", (_OVER,)),
}
"""Free, free and chosen, taken, over a limit; four are more than the environment template takes."""


def sample_form() -> LaunchForm:
    """Return the form."""
    types, startable = tuple(_CATALOG.gpu_types), [template.name for template in _TEMPLATES]
    fields = {"environment_template": _CHOSEN.name, "gpus": "1"}
    choices = choices_of(fields, catalog=_CATALOG, gpu_types=types, projects=_PROJECTS, startable=startable)
    offer = Offer(_CATALOG, _PROJECTS, types, {"code-server": "It is not built here. An administrator builds it."})
    quote = Quote(_DECISIONS, Decimal("1.5"), "EUR", waits={2: WaitEstimate(600, 2100, 6600)})
    return launch_form(choices, offer, quote, Problem("", "", fields={"max_hours": "1 to 24 hours, please."}))
