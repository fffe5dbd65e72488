"""Words for amounts: money, durations, instants, GPUs, ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.units import format_bytes, format_number, isoformat

_CENT = Decimal("0.01")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400

END_CAUSES: dict[EndCause, str] = {
    EndCause.STOPPED_BY_USER: "You stopped it",
    EndCause.STOPPED_BY_ADMIN: "An admin stopped it",
    EndCause.STOPPED: "Stopped through the hub",
    EndCause.CULLED: "Stopped because it was idle",
    EndCause.EXITED: "It shut itself down",
    EndCause.CRASHED: "It crashed; the log shows the last lines",
    EndCause.KILLED: "It was killed from outside the platform",
    EndCause.OUT_OF_MEMORY: "It ran out of memory; choose more memory next time",
    EndCause.EVICTED: "Its node ran short of memory or disk and put it out",
    EndCause.PREEMPTED: "Something of higher priority took its place",
    EndCause.DELETED: "Its pod was deleted from outside the platform",
    EndCause.NODE_LOST: "Its node stopped answering; charged up to the node's last sign of life",
    EndCause.START_FAILED: "It did not start; nothing is charged",
    EndCause.LOST: "Nobody saw it end; charged up to its last sign of life",
    EndCause.HOLD_EXPIRED: "It was never started; nothing is charged",
    EndCause.INTEREST_EXPIRED: "It left the queue, because nobody confirmed that it was still wanted",
    EndCause.OWNER_GONE: "It left the queue, because its owner is gone",
    EndCause.TEMPLATE_REMOVED: "It left the queue, because its environment is not offered any more",
    EndCause.PROJECT_CLOSED: "It left the queue, because its project is closed",
    EndCause.NOT_ALLOWED: "It left the queue, because its environment or project is not for you any more",
    EndCause.OPTIONS_REFUSED: "It left the queue, because so much, or this GPU type, is not offered any more",
    EndCause.IDLE: "Its GPUs were idle, and somebody waited for them",
    EndCause.SESSION_CAP: "It had run for the longest time of a session, and somebody waited for its GPUs",
    EndCause.CLASS_BEGINS: "A class that had reserved its GPUs began",
    EndCause.NOT_OPENED: "Its turn came, and nobody opened it in time",
    EndCause.NEVER_FITS: "It left the queue, because your limit or your project's is below it now",
    EndCause.BUDGET_EXHAUSTED: "A budget that it is paid from is spent",
}
"""Why an environment ended, for its owner."""

WITHDRAWALS: dict[EndCause, str] = {
    EndCause.STOPPED_BY_USER: "You withdrew it from the queue",
    EndCause.STOPPED_BY_ADMIN: "An admin withdrew it from the queue",
}
"""The same, where it never got out of the queue."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """An instant for ``<time>``: UTC text, which a script rewrites in the reader's zone."""

    iso: str
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with its numbers in words; ``percent`` is between 0 and 100."""

    label: str
    text: str
    percent: int
    is_full: bool = False
    note: str = ""


def stamp(instant: datetime | None) -> Stamp | None:
    """Return an instant for a page, or None."""
    if instant is None:
        return None
    utc = instant.astimezone(UTC)
    return Stamp(isoformat(utc), f"{utc.day} {utc:%b %Y %H:%M} UTC")


def money(amount: Decimal | None, currency: str | None) -> str:
    """Return money to the cent, for example ``1,234.50 EUR``; less than half a cent but not nothing says so."""
    if amount is None or currency is None:
        return "–"
    if Decimal(0) < amount < _CENT:
        return f"under 0.01 {currency}"
    return f"{amount.quantize(_CENT, ROUND_HALF_EVEN):,} {currency}"


def price(per_hour: Decimal | None, currency: str | None) -> str:
    """Return a price per hour with the places it needs, at least two."""
    if per_hour is None or currency is None:
        return "no price"
    if per_hour == 0:
        return "free of charge"
    places = max(2, -int(per_hour.normalize().as_tuple().exponent))
    return f"{per_hour:.{places}f} {currency} per hour"


def duration(span: timedelta) -> str:
    """Return a span in its two largest units, for example ``2 h 5 min``."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _DAY:
        return _two(seconds // _HOUR, "h", seconds % _HOUR // _MINUTE, "min")
    return _two(seconds // _DAY, "d", seconds % _DAY // _HOUR, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def hours(seconds: Decimal) -> str:
    """Return seconds as hours with two decimals, or four where two would hide most of it."""
    value = seconds / _HOUR
    places = Decimal("0.0001") if 0 < value < Decimal("0.1") else _CENT
    return f"{value.quantize(places, ROUND_HALF_EVEN):,}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def in_minutes(minutes: int) -> str:
    """Return when something that takes minutes is there, for example ``in about 6 min``."""
    return f"in about {duration(timedelta(minutes=minutes))}"


def gpus(number: int, type_label: str | None) -> str:
    """Return a GPU count with its type, for example ``2 × NVIDIA H100``."""
    if number == 0:
        return "No GPU"
    return f"{number} × {type_label}" if type_label else count(number, "GPU")


def amount(dimension: str, value: Decimal | None) -> str:
    """Return an amount of a dimension with its unit, without the dimension's name."""
    if value is None:
        return "unknown"
    unit = DIMENSIONS[dimension].unit
    if unit == "B":
        return format_bytes(value)
    return f"{format_number(value)} h" if unit == "h" else format_number(value)


def percent(part: Decimal | int, whole: Decimal | int) -> int:
    """Return the whole per cent of a part, between 0 and 100; something of nothing is all."""
    if whole <= 0:
        return 100 if part > 0 else 0
    return max(0, min(100, int(Decimal(part) * 100 / Decimal(whole))))


def server_label(server_name: str) -> str:
    """Return a server's name as people see it; the hub's default server has none."""
    return server_name or "default server"


def notices(*, is_demo: bool, has_simulated_gpus: bool, is_isolated: bool) -> tuple[str, ...]:
    """Return the sentences that stand at the top of every page.

    Parameters
    ----------
    is_demo
        Started with ``--demo``.
    has_simulated_gpus
        Nothing computes on a GPU here.
    is_isolated
        Every person's servers run under an account of their own.
    """
    sentences = []
    if is_demo:
        sentences.append("This is a demo: do not keep anything here that others must not see.")
    if has_simulated_gpus:
        sentences.append("The GPUs are simulated: nothing computes on a GPU here.")
    if not is_isolated:
        sentences.append("Users are isolated neither from each other nor from the hub, its secrets and the ledger.")
    return (" ".join(sentences),) if sentences else ()
