"""Reports of what was charged, in every format: read from the ledger as a stream and from sums of days that are over, written as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, BinaryIO

from aiplatform_hub.domain.catalog import CarbonFactor, RateCard
from aiplatform_hub.domain.charge_report import KEYS, Activity, EnergyUse, charge_report
from aiplatform_hub.domain.charge_sums import ActivitySum
from aiplatform_hub.domain.energy import factor_at, kwh
from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.domain.report_spans import BucketSize, bucket_key
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_sums import ChargedSpan, ChargeSumReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.reports.formats import FORMATS, Format
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.energy_sums import EnergySums
from aiplatform_hub.storage.usage_sums import UsageSums

_TIMES: Mapping[str, BucketSize] = {"day": "day", "week": "week", "month": "month"}


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

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        *,
        database: Database,
        charges: ChargeReader,
        charge_sums: ChargeSumReader,
        credits_: CreditReader,
        sums: UsageSums,
        cards: Callable[[], tuple[RateCard, ...]],
        clock: Callable[[], datetime],
        energy: EnergySums | None = None,
        factors: tuple[CarbonFactor, ...] = (),
    ) -> None:
        self._energy = energy
        self._factors = factors
        self._database = database
        self._charges = charges
        self._charge_sums = charge_sums
        self._credits = credits_
        self._sums = sums
        self._cards = cards
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
            payments = self._credits.payments(connection, query.start, min(query.end, self._clock()), filters=query.filters)
            if format_.write_charges is not None:
                found = self._charges.charges(connection, query.start, query.end, filters=query.filters)
                format_.write_charges(found, complete_until, stream, payments)
            elif format_.write is not None:
                asked = ChargedSpan(query.start, query.end, query.group_by, query.filters)
                activity = (_activity(query, one) for one in self._charge_sums.activity(connection, asked))
                span = {"start": query.start, "end": query.end, "complete_until": complete_until}
                energy = self._gpu_energy(connection, query)
                found_sums = self._charge_sums.charged(connection, asked)
                format_.write(charge_report(found_sums, activity, payments, group_by=query.group_by, energy=energy, **span), stream)

    def _gpu_energy(self, connection: Connection, query: ReportQuery) -> Iterator[EnergyUse]:
        """Yield what GPUs took on the days of the query, in its groups."""
        if self._energy is None:
            return
        cards = self._cards()
        columns = tuple(name for name in query.group_by if name not in _TIMES)
        for one in self._energy.sums(connection, query.start, query.end, columns, query.filters):
            keys = tuple(_key(name, {**one.keys, "day": one.day}) for name in query.group_by)
            factor, taken = factor_at(self._factors, one.day), kwh(one.millijoules)
            yield EnergyUse(keys, card_at(cards, one.day).currency, taken, None if factor is None else taken * Fraction(factor.grams_per_kwh))


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


def _key(name: str, keys: Mapping[str, Any]) -> str | None:
    size = _TIMES.get(name)
    if size is not None:
        return bucket_key(keys["day"].date(), size)
    value: str | None = keys[name]
    return value
