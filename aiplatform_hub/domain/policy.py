"""Every number of the queue's policy, and three policies with a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MINUTE_SECONDS = 60.0
HOUR_SECONDS = 3600.0
DAY_SECONDS = 24 * HOUR_SECONDS


@dataclass(frozen=True, slots=True)
class ClassReservation:
    """GPUs kept for one project during a window, for a class or a deadline."""

    project: str
    gpus: int
    gpu_type: str | None
    """None: of any type."""
    start_seconds: float
    """When the window begins, in seconds of the epoch, inclusive."""
    end_seconds: float
    """When it ends, in seconds of the epoch, exclusive."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is next, what may pass, and what is taken back when. Lengths are seconds.

    The defaults are the shipped policy. They were chosen on made demand of a lab (12 light and 3 heavy people, 4 GPUs, 28
    days, 20 seeds), so that light people wait 2 h at the median and 10 h at the 95 % quantile at most, whole boxes 9 h at
    the 95 % quantile, and the GPUs do as much useful work as these bounds leave.
    """

    is_fair: bool = True
    """Order by fair share; False orders by submit time alone."""
    half_life_seconds: float = 3 * DAY_SECONDS
    """Time in which past use loses half its weight. In seconds."""
    gpu_type_weights: Mapping[str, float] = field(default_factory=dict)
    """What a GPU-second of a type counts in the shares, relative to 1.0; types not named count 1.0."""
    project_shares: Mapping[str, float] = field(default_factory=dict)
    """Shares of the projects, relative to one another; projects not named have 1.0."""
    level_ratio: float = 10.0
    """Levels of the Fair Tree that differ by less than about this ratio count as equal; 1.0 is Slurm's own comparison.

    With 1.0, people who share a project with a heavy user wait behind the heavy users of other projects: light people wait
    12.6 instead of 9.3 h at the 95 % quantile, for 1 % more useful work.
    """
    is_shortest_first: bool = True
    """Whether those who tie in the Fair Tree come in order of what their sessions probably use, the least first."""
    short_queue_fraction: float = 0.75
    """While all requests together ask for at most this fraction of the GPUs, the sessions expected to be longest come first; 0 is never.

    Nobody waits long then, and GPUs with long sessions have work until somebody is there to ask again, most of all at
    night: 0.5 % more useful work than 0. With 1.0 it is as much again, but light people wait 10 h at the 95 % quantile.
    """
    reserve_after_seconds: float | None = 2 * HOUR_SECONDS
    """Age from which a request that fills a whole node reserves, so that nobody passes who would delay it; None is never. In seconds.

    Keeping GPUs idle costs useful work: 8 h would give 0.6 % more of it, and 4-GPU requests 14 instead of 9 h at the 95 % quantile.
    """
    reserve_part_after_seconds: float | None = 4 * HOUR_SECONDS
    """The same for a request that fills a part of a node: what it needs comes free together often enough. In seconds.

    With 2 h, 1-GPU requests often wait for 2-GPU ones: 0.3 % less useful work, and waits as long.
    """
    whole_node_first_after_seconds: float | None = 3 * HOUR_SECONDS
    """Age from which a request that fills a whole node comes first, as GPUs come free one by one; None is never. In seconds."""
    idle_allowed_gpu_seconds: float = 0.5 * HOUR_SECONDS
    """A request that fills a whole node comes first sooner where at most this would stand idle until it starts, in GPU-seconds, …"""
    idle_allowed_per_second: float = 0.5
    """… and so much more for each second that it has waited. In GPU-seconds per second."""
    overdue_after_seconds: float | None = 48 * HOUR_SECONDS
    """Age from which any request comes first and reserves: nobody starves; None is never. In seconds."""
    reserve_quantile: float = 0.3
    """Which quantile of a session's remaining time a reservation reckons with, 0 to 1; later ends let too many pass."""
    backfill_quantile: float = 0.8
    """Which quantile of its length a session must end within to pass a reservation, 0 to 1."""
    backfill_slack_seconds: float = 0.5 * HOUR_SECONDS
    """By how much it may end later all the same. In seconds."""
    takes_from_equals: bool = False
    """Whether a session over its cap makes room for anybody who waits; False: only for those who are more entitled.

    True would give 0.8 % more useful work, as heavy users make room for one another at night; but it cuts a fifth more of
    the work that was begun, and the median wait of light people rises from 1.7 to 2.0 h.
    """
    backfill: bool = True
    """Whether a later request may pass one that waits without reserving; False: nobody passes on a node that somebody before waits for."""
    is_releasing: bool = True
    """Whether idle sessions and those over their cap are taken back at all."""
    acts_only_while_somebody_waits: bool = True
    """Whether idle release and the session cap spare sessions whose GPUs nobody waits for."""
    session_cap_seconds: float | None = 6 * HOUR_SECONDS
    """Length after which a session's GPUs may be taken, 6 h or more; None is no cap. In seconds."""
    session_ceiling_seconds: float = 24 * HOUR_SECONDS
    """Length up to which extensions may carry a session. In seconds."""
    extension_seconds: float = 2 * HOUR_SECONDS
    """How long its owner keeps a session by one extension, from then on: idle or over its cap. In seconds."""
    guaranteed_seconds: float = 30 * MINUTE_SECONDS
    """Time from a session's start in which nothing takes its GPUs. In seconds."""
    idle_after_seconds: float | None = 10 * MINUTE_SECONDS
    """Idleness after which a session's GPUs may be taken, 600 s or more, its warning included; None is never. In seconds."""
    idle_below_percent: float = 5.0
    """Utilisation below which a GPU is idle, in percent; a session is idle while all its GPUs are, and no memory of theirs grows."""
    idle_growth_below_mib: float = 1.0
    """Growth of a GPU's memory in use from one look to the next, 15 s later, below which it counts as none, in MiB.

    What a driver or allocator keeps of its own comes and goes by less; CUDA takes memory for data in steps of 2 MiB.
    """
    idle_warning_seconds: float = 5 * MINUTE_SECONDS
    """The end of that time in which its owner is warned, and time between warning and release at a cap. In seconds."""
    project_limits: Mapping[str, int] = field(default_factory=dict)
    """GPUs that a project may hold at once; projects not named have no limit."""
    project_inactive_after_seconds: Mapping[str, float | None] = field(default_factory=dict)
    """Time after which a project's session without GPUs ends that nobody uses, by project, before any other such limit; None is never. In seconds."""
    tier_inactive_after_seconds: Mapping[str, float | None] = field(default_factory=dict)
    """The same by the tier that its owner had when it started, for projects not named; None is never. In seconds."""
    environment_template_inactive_after_seconds: Mapping[str, float | None] = field(default_factory=dict)
    """The same by environment template, for projects and tiers not named; for the rest `stop_inactive_minutes` or `cull.timeout` counts; None is never. In seconds."""
    reservations: tuple[ClassReservation, ...] = ()
    """Windows of GPUs for a project."""


FIFO = Policy(
    is_fair=False,
    reserve_after_seconds=None,
    reserve_part_after_seconds=None,
    whole_node_first_after_seconds=None,
    overdue_after_seconds=None,
    is_releasing=False,
    session_cap_seconds=None,
    idle_after_seconds=None,
)
"""First come, first served, and nothing is ever taken back: what most places have."""

FAIR_SHARE_ONLY = Policy(is_releasing=False, session_cap_seconds=None, idle_after_seconds=None)
"""Fair order, reservation and backfill, but nothing is taken back."""

SHIPPED = Policy()
"""The defaults."""

PRESETS: Mapping[str, Policy] = {"fifo": FIFO, "fair-share-only": FAIR_SHARE_ONLY, "shipped": SHIPPED}
"""The policies that have a name."""
