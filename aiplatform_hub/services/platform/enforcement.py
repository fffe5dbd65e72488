"""Which limits bind at this place, and which it can only count."""

from __future__ import annotations

from dataclasses import dataclass

from aiplatform_hub.clients.cgroups import Cgroups
from aiplatform_hub.config import Place, Settings
from aiplatform_hub.web.view_models import enforcement as words


@dataclass(frozen=True, slots=True)
class Enforcement:
    """Sentences about what cannot be enforced here, and about what is."""

    not_enforced: tuple[str, ...]
    enforced: tuple[str, ...]


def enforcement(settings: Settings, *, has_gpus: bool, has_own_origins: bool) -> Enforcement:
    """Return what this machine or cluster cannot enforce, and what it can."""
    if settings.place is Place.CLUSTER:
        lines = [*words.pod_lines(has_gpus=has_gpus), words.origin_line(has_own_origins=has_own_origins)]
    else:
        lines = [words.limit_line(e.resource, e.reason, is_enforced=e.is_enforced) for e in Cgroups.detect().enforcement()]
        lines.append(words.isolation_line(is_isolated=settings.isolates_users))
        lines.append(words.origin_line(has_own_origins=has_own_origins))
        if has_gpus:
            lines.append(words.gpu_line(is_simulated=settings.simulated_gpus > 0))
    return Enforcement(tuple(text for text, is_bound in lines if not is_bound), tuple(text for text, is_bound in lines if is_bound))
