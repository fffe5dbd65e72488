"""What a policy did with traces, as JSON, as CSV and as the rows of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiplatform_hub.domain.twin import Percentiles, Scores, TwinResult, mean_scores

MEAN = "mean"
"""Name of the row that is the mean over the traces."""

WAITS = ("light", "heavy", "four_gpu")
"""Whose waits are scored apart: who asks in office hours only, who does not, and requests for four GPUs."""

DECIMALS = 6

CSV_COLUMNS = (
    "trace",
    "user",
    "share_of_served",
    "useful_fraction",
    "occupancy_fraction",
    *(f"{kind}_wait_{quantile}_hours" for kind in WAITS for quantile in ("p50", "p95")),
    "cut_work_fraction",
)
"""A row without a user is a whole trace; a user's fractions are of the whole box."""

TABLE_COLUMNS = {
    "trace": "trace",
    "useful": "useful",
    "occupancy": "occupied",
    **{f"{kind}_{quantile}": f"{words} {quantile}" for kind, words in zip(WAITS, ("light", "heavy", "4-GPU"), strict=True) for quantile in ("p50", "p95")},
    "cut": "work cut",
}
"""Key and heading of the table for a terminal; waits in hours."""


def scores_json(results: Sequence[TwinResult]) -> dict[str, Any]:
    """Return the figures of each trace and their mean; a wait's are null where nobody of the kind asked."""
    scores = [result.scores for result in results]
    return {
        "per_trace": [{"trace": result.trace, **_figures(score)} for result, score in zip(results, scores, strict=True)],
        "mean": _figures(mean_scores(scores)),
    }


def _figures(scores: Scores) -> dict[str, Any]:
    return {
        "useful_fraction": round(scores.useful_fraction, DECIMALS),
        "occupancy_fraction": round(scores.occupancy_fraction, DECIMALS),
        **{f"{kind}_wait_hours": dict(zip(("p50", "p95"), _pair(wait), strict=True)) for kind, wait in waits_of(scores).items()},
        "cut_work_fraction": round(scores.cut_work_fraction, DECIMALS),
    }


def waits_of(scores: Scores) -> Mapping[str, Percentiles | None]:
    """Return the waits that are scored, by kind."""
    return dict(zip(WAITS, (scores.light_wait_hours, scores.heavy_wait_hours, scores.four_gpu_wait_hours), strict=True))


def _pair(wait: Percentiles | None) -> tuple[float | None, float | None]:
    return (None, None) if wait is None else (round(wait.p50, DECIMALS), round(wait.p95, DECIMALS))


def scores_csv(results: Sequence[TwinResult]) -> str:
    """Return each trace, each of its users and the mean as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for result in results:
        writer.writerow(_csv_row(result.trace, "", 1.0, result.scores))
        writer.writerows(_user_rows(result))
    writer.writerow(_csv_row(MEAN, "", 1.0, mean_scores([result.scores for result in results])))
    return text.getvalue()


def shares(result: TwinResult) -> dict[str, float]:
    """Return the part of the served GPU-time that each user got."""
    served = sum(share.gpu_seconds_served for share in result.share_by_user.values())
    return {user: share.gpu_seconds_served / served if served else 0.0 for user, share in result.share_by_user.items()}


def _user_rows(result: TwinResult) -> Iterator[list[Any]]:
    """Yield a row for each user: as if the result held nobody else."""
    served = sum(share.gpu_seconds_served for share in result.share_by_user.values())
    box = served / result.occupancy_fraction if served else 1.0
    for user, part in shares(result).items():
        mine = replace(
            result,
            useful_fraction=result.share_by_user[user].gpu_seconds_useful / box,
            occupancy_fraction=result.share_by_user[user].gpu_seconds_served / box,
            waits=tuple(wait for wait in result.waits if wait.user == user),
        )
        yield [*_csv_row(result.trace, user, part, mine.scores)[:-1], ""]


def _csv_row(trace: str, user: str, share: float, scores: Scores) -> list[Any]:
    waits = [value for wait in waits_of(scores).values() for value in _pair(wait)]
    fractions = (round(value, DECIMALS) for value in (share, scores.useful_fraction, scores.occupancy_fraction))
    return [trace, user, *fractions, *waits, round(scores.cut_work_fraction, DECIMALS)]


def table_rows(results: Sequence[TwinResult]) -> list[dict[str, str | None]]:
    """Return a row for each trace, and their mean if there are several, under ``TABLE_COLUMNS``."""
    scores = [result.scores for result in results]
    rows = [_table_row(result.trace, score) for result, score in zip(results, scores, strict=True)]
    return rows if len(rows) == 1 else [*rows, _table_row(MEAN, mean_scores(scores))]


def _table_row(name: str, scores: Scores) -> dict[str, str | None]:
    waits = {
        f"{kind}_{quantile}": None if wait is None else f"{getattr(wait, quantile):.1f}"
        for kind, wait in waits_of(scores).items()
        for quantile in ("p50", "p95")
    }
    fractions = {"useful": scores.useful_fraction, "occupancy": scores.occupancy_fraction, "cut": scores.cut_work_fraction}
    return {"trace": name, **{key: f"{value:.3f}" for key, value in fractions.items()}, **waits}
