"""Made demand of a lab: 12 light and 3 heavy people of 5 projects on a 4-GPU box, other draws of the same distributions for each seed."""

from __future__ import annotations

import math
import random

from aiplatform_hub.domain.policy import DAY_SECONDS, HOUR_SECONDS
from aiplatform_hub.domain.twin.trace import Trace, TraceSession

SIZES = {True: ((1, 2, 4), (0.80, 0.15, 0.05)), False: ((1, 2), (0.67, 0.33))}
"""GPU counts and how often they are asked for, by light user and not."""

WORK = {True: (2.0, 0.6), False: (9.9, 0.59)}
"""Median in hours and sigma of the lognormal length of the work."""

IDLE_TAIL_HOURS = {True: 2.96, False: 7.8}
THINK_HOURS = {True: 13.9, False: 1.06}
"""Means of exponential lengths."""

SESSIONS = {True: 80, False: 120}
"""More than anybody can have in the time."""


def lab_trace(seed: int, days: int = 28, heavy_users: int = 3, users: int = 15, projects: int = 5) -> Trace:
    """Return the trace of a seed."""
    draw = random.Random(seed)
    people = [(f"user{number:02}", f"project{number % projects}", number >= heavy_users) for number in range(users)]
    sessions = [_session(draw, *person, sequence) for person in people for sequence in range(SESSIONS[person[2]])]
    return Trace(f"lab-{seed}", 4, days * DAY_SECONDS, tuple(sessions))


def _session(draw: random.Random, user: str, project: str, is_light: bool, sequence: int) -> TraceSession:
    median, sigma = WORK[is_light]
    return TraceSession(
        user=user,
        project=project,
        sequence=sequence,
        think_seconds=round(draw.expovariate(1 / THINK_HOURS[is_light]) * HOUR_SECONDS),
        gpus=draw.choices(*SIZES[is_light])[0],
        work_seconds=round(draw.lognormvariate(math.log(median), sigma) * HOUR_SECONDS),
        idle_tail_seconds=round(draw.expovariate(1 / IDLE_TAIL_HOURS[is_light]) * HOUR_SECONDS),
        is_office_hours=is_light,
    )
