"""Reports of what was charged, in every format: read from the ledger as a stream and from sums of days that are over, written as a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from aiplatform_hub.domain.charge_report import KEYS, Activity, charge_report
from aiplatform_hub.domain.charge_sums import ActivitySum
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_sums import ChargedSpan, ChargeSumReader
from aiplatform_hub.reports.formats import FORMATS, Format
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.usage_sums import UsageSums


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """A report's question: a half-open span ``[start, end)`` in aware UTC, a format, grouping and filters."""

    start: datetime
    end: datetime
    format: str
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """Name of the file: the span, the groups and the format."""
        by = f"-by-{'-'.join(self.group_by)}" if self.group_by else ""
        return f"charges-{self.start:%Y%m%d}-{self.end:%Y%m%d}{by}.{FORMATS[self.format].ending}"


class ChargeReporter:
    """Writes reports. Reads only; what is closed gives the same bytes from any process, at any time."""

    def __init__(
        self,
        *,
        database: Database,
        charges: ChargeReader,
        charge_sums: ChargeSumReader,
        sums: UsageSums,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._charges = charges
        self._charge_sums = charge_sums
        self._sums = sums
        self._clock = clock

    def write(self, query: ReportQuery, stream: BinaryIO) -> None:
        """Write a report; memory does not grow with what was used, only with the groups.

        Raises
        ------
        InvalidOptionError
            If the question is wrong; nothing is written then.
        ServiceUnavailableError
            If the database does not answer.
        """
        check(query, self._clock())
        format_ = FORMATS[query.format]
        with self._database.snapshot() as connection:
            complete_until = min(self._sums.complete_until(connection, self._clock()), query.end)
            if format_.write_charges is not None:
                found = self._charges.charges(connection, query.start, query.end, filters=query.filters)
                format_.write_charges(found, complete_until, stream)
            elif format_.write is not None:
                asked = ChargedSpan(query.start, query.end, query.group_by, query.filters)
                activity = (_activity(query, one) for one in self._charge_sums.activity(connection, asked))
                span = {"start": query.start, "end": query.end, "complete_until": complete_until}
                format_.write(charge_report(self._charge_sums.charged(connection, asked), activity, group_by=query.group_by, **span), stream)


def check(query: ReportQuery, now: datetime) -> None:
    """Refuse a question that has no answer.

    Raises
    ------
    InvalidOptionError
        Saying what would be right.
    """
    format_ = FORMATS.get(query.format)
    if format_ is None:
        raise _invalid("format", f"There is no format {query.format!r}; use one of {', '.join(FORMATS)}.", tuple(FORMATS))
    if query.start >= query.end:
        raise _invalid("from", f"The span is empty: it begins at {query.start:%Y-%m-%dT%H:%M:%SZ} and ends at {query.end:%Y-%m-%dT%H:%M:%SZ}.")
    if query.start > now:
        raise _invalid("from", f"Nothing is charged yet: the span begins at {query.start:%Y-%m-%dT%H:%M:%SZ}, and it is {now:%Y-%m-%dT%H:%M:%SZ}.")
    _check_groups(query, format_)


def _check_groups(query: ReportQuery, format_: Format) -> None:
    for name in query.group_by:
        if name not in KEYS:
            raise _invalid("group_by", f"There is no group {name!r}; use one of {', '.join(KEYS)}.", tuple(KEYS))
        if name in format_.forbidden_groups:
            raise _invalid("group_by", f"{format_.label} is not grouped by {name}: people's names are no labels. Take another format.")
    if query.group_by and format_.write is None:
        raise _invalid("group_by", f"{format_.label} has one line for each charge. Leave group_by out, or take another format.")


def _invalid(option: str, message: str, allowed: tuple[str, ...] = ()) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason("invalid_option", message, field=option, allowed=allowed),))


def _activity(query: ReportQuery, one: ActivitySum) -> Activity:
    keys = tuple(KEYS[name](one) for name in query.group_by)
    return Activity(keys, one.currency, one.used_gpu_microseconds, one.idle_gpu_microseconds)
