"""Until when what could be launched now would run, because a class begins then that has reserved its GPUs."""

from __future__ import annotations

from collections.abc import Mapping

from aiplatform_hub.domain.classes import ClassEnd, class_end
from aiplatform_hub.domain.quota import Decision
from aiplatform_hub.operations.decision_reader import must_end_of
from aiplatform_hub.operations.policies import Policies


def class_ends(policies: Policies, decisions: Mapping[int, Decision], project: str) -> dict[int, ClassEnd]:
    """Return when each GPU count would have to make room for a class, where it would.

    Parameters
    ----------
    decisions
        A dry run for each GPU count.
    project
        What would be charged, whose own classes it may stay for.
    """
    ends = {count: must_end_of(decision) for count, decision in decisions.items()}
    windows = policies.current().reservations if any(ends.values()) else ()
    return {count: end for count, at in ends.items() if (end := class_end(at, project, windows)) is not None}
