"""The policy twin: planner, fair share and release rules run on a demand trace in simulated time."""

from aiplatform_hub.domain.twin.result import EventKind, Percentiles, Scores, TwinEvent, TwinResult, UserShare, Wait, mean_scores
from aiplatform_hub.domain.twin.simulation import simulate
from aiplatform_hub.domain.twin.trace import Trace, TraceSession

__all__ = [
    "EventKind",
    "Percentiles",
    "Scores",
    "Trace",
    "TraceSession",
    "TwinEvent",
    "TwinResult",
    "UserShare",
    "Wait",
    "mean_scores",
    "simulate",
]
