"""Notices: what people are told, and the one place that words it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.budgets import OVERDRAWN
from aiplatform_hub.domain.names import is_same_name
from aiplatform_hub.domain.release import Cause
from aiplatform_hub.errors import AIPlatformError

FIRST_PAUSE = timedelta(seconds=10)
"""Time between the first try to pass a notice on and the second; it doubles with each."""
LONGEST_PAUSE = timedelta(hours=1)
MOST_ATTEMPTS = 10
"""Tries in all, over an hour and a half."""
SHOWN_FOR = timedelta(days=3)
"""How long pages show what is over, unless it is dismissed before."""


class NoticeKind(StrEnum):
    """What a notice tells."""

    TURN_CAME = "turn_came"
    """What its owner waited for has started."""
    RELEASE_WARNING = "release_warning"
    """A session's GPUs are about to be given back."""
    RELEASED = "released"
    """They were."""
    INTEREST_EXPIRES = "interest_expires"
    """A request is about to leave the queue, because its owner has not said that they still want it."""
    EXPIRED = "expired"
    """A request has left the queue without having started."""
    NOT_OPENED = "not_opened"
    """What had started out of the queue was given back, because nobody opened it."""
    START_FAILED = "start_failed"
    """What had waited could not be started."""
    STOPPED = "stopped"
    """An admin stopped a session."""
    WITHDRAWN = "withdrawn"
    """An admin took a request out of the queue."""
    BUDGET_LOW = "budget_low"
    """A soft limit of a budget was passed."""
    DISPUTED = "disputed"
    """Somebody disputes a line of an invoice, or says more about it."""
    DISPUTE_ANSWERED = "dispute_answered"
    """An admin answered."""
    DISPUTE_WITHDRAWN = "dispute_withdrawn"
    """Whoever opened a dispute withdrew it."""
    SHOWBACK = "showback"
    """What a lead's projects used in a month; :mod:`aiplatform_hub.domain.showback` words it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Which session or request a notice is about, and what of it."""

    title: str
    """Name of its environment, as people see it."""
    server_name: str
    gpus: str
    """Its GPUs in words, such as ``2 × NVIDIA H100``; empty without GPUs."""
    word: str
    """The beginning of its id, as commands take it."""
    until: datetime | None = None
    """When what is announced happens; for ``turn_came`` until when it has to be opened."""
    cause: str = ""
    """Why it ended, or is about to: an :class:`EndCause`."""
    is_back: bool = False
    """Whether it is in the queue again."""
    message: str = ""
    """What whoever stopped it says to its owner."""

    @property
    def name(self) -> str:
        """Both of its names, where they are two."""
        is_one = not self.server_name or is_same_name(self.title, self.server_name)
        return self.title if is_one else f"{self.title} ({self.server_name})"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that one person is told. Instants are aware UTC."""

    id: int
    key: str
    """Keeps it from being told twice."""
    at: datetime
    user_name: str
    allocation_id: UUID | None
    kind: NoticeKind
    detail: Mapping[str, Any]
    """Of the :class:`Subject`, as JSON."""
    dismissed_at: datetime | None = None

    @property
    def page(self) -> str:
        """Page that it leads to, below the platform's own address; empty if there is none."""
        return str(self.detail.get("page", "")) or (f"sessions/{self.allocation_id}" if self.allocation_id else "")


Part = str | datetime
"""Of a sentence: text, or an instant that each channel writes in its own way."""
Sentence = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """A notice in words."""

    subject: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A notice as a notifier passes it on. All of it may be shown to its reader."""

    id: int
    """The same in each try to deliver the same notice."""
    at: datetime
    kind: str
    user_name: str
    subject: str
    sentences: tuple[str, ...]
    """With instants in UTC."""
    link: str
    """Address of its page; empty where the public address is not known."""
    allocation_id: UUID | None
    detail: Mapping[str, Any]


class DeliveryError(AIPlatformError):
    """A notifier could not pass a notice on; it is tried again."""

    is_final = False
    """Whether no further try would go better."""


class RefusedDeliveryError(DeliveryError):
    """What was to be passed on was refused for good."""

    is_final = True


class Notifier(Protocol):
    """A way to reach people. An entry point of the group ``aiplatform.notifiers`` names what makes one.

    What makes it is called with the notifier's options, a mapping, and its secret, a text that may be empty. It
    raises :class:`aiplatform_hub.errors.ConfigurationError` with one sentence if they are wrong.
    """

    def deliver(self, message: Message) -> None:
        """Pass a message on. May block, in a thread of its own, but has to come to an end.

        Raises
        ------
        DeliveryError
            If it could not; the message is for the operator.
        """


def pause_after(attempts: int) -> timedelta | None:
    """Return how long to wait after so many failed tries; None when it was the last one."""
    if attempts >= MOST_ATTEMPTS:
        return None
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << max(0, attempts - 1)))


_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_LOCAL_PART = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")


def address_of(user_name: str, email_domain: str) -> str | None:
    """Return a person's e-mail address: their user name if it is one, else their user name at the domain; None if that gives none."""
    if _ADDRESS.fullmatch(user_name):
        return user_name
    return f"{user_name}@{email_domain}" if email_domain and _LOCAL_PART.fullmatch(user_name) else None


def in_utc(instant: datetime) -> str:
    """Return an instant for readers whose zone is not known, such as ``2026-11-28 16:40 UTC (+00:00)``."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC (+00:00)"


def text_of(sentence: Sentence, instant: Callable[[datetime], str] = in_utc) -> str:
    """Return a sentence as text."""
    return "".join(part if isinstance(part, str) else instant(part) for part in sentence)


def is_current(notice: Notice, allocation: Allocation | None, now: datetime) -> bool:
    """Return whether a notice is still worth showing: what it asks for can still be done, or what it tells is not long ago."""
    if notice.dismissed_at is not None or now - notice.at > SHOWN_FOR:
        return False
    if notice.kind is NoticeKind.TURN_CAME:
        return allocation is not None and allocation.is_open and allocation.opened_at is None
    if notice.kind is NoticeKind.RELEASE_WARNING:
        return allocation is not None and allocation.is_open and not _is_kept(allocation, notice.detail.get("until"))
    if notice.kind is NoticeKind.INTEREST_EXPIRES:
        return allocation is not None and allocation.is_queued and (allocation.confirmed_at or allocation.requested_at) < notice.at
    return True


def _is_kept(allocation: Allocation, until: str | None) -> bool:
    """Return whether a session was extended beyond the time that a warning named."""
    kept = allocation.extended_until
    return kept is not None and until is not None and kept >= datetime.fromisoformat(until)


def warned_from(confirmed_at: datetime, interest: timedelta) -> datetime:
    """Return when the owner of a queued request is told that it leaves the queue: after three quarters of its time."""
    return confirmed_at + interest * 3 / 4


def words(kind: NoticeKind, about: Subject) -> Words:
    """Return a notice in words, for every channel: a subject, and sentences that say what happened and what to do."""
    return _WORDS[kind](about)


def _turn_came(about: Subject) -> Words:
    whose = f"{about.gpus} {'is' if about.gpus.startswith('1 ') else 'are'} yours" if about.gpus else "it has its place"
    first: Sentence = (f"{about.name} is running; {whose}.",)
    if about.until is None:
        return Words(f"Your turn has come: {about.name}", (first,))
    return Words(f"Your turn has come: {about.name}", (first, ("Open it by ", about.until, ", or it goes to whoever is next in line.")))


def _interest_expires(about: Subject) -> Words:
    when: Sentence = ("It leaves the queue at ", about.until, ".") if about.until else ("It is about to leave the queue.",)
    how = f"If you still want it, choose Keep waiting on its page, or run: aiplatform confirm {about.word}"
    return Words(f"Do you still want {about.name}?", (when, (how,)))


def _expired(about: Subject) -> Words:
    why = _EXPIRIES.get(about.cause, "It cannot start any more.")
    return Words(f"{about.name} has left the queue", ((why,), ("Nothing of it ran, and nothing is charged.",)))


def _not_opened(about: Subject) -> Words:
    first = "Its turn had come, and nobody opened it in time: it was stopped, and its GPUs go to whoever is next in line."
    then = "It is in the queue again, behind those of the same share who wait now, and is started once more." if about.is_back else "It has left the queue."
    return Words(f"Nobody opened {about.name}", ((first,), (then,)))


def _start_failed(about: Subject) -> Words:
    then = "It has left the queue, and nothing is charged. Its page shows the last lines of its log; start it again, or tell an admin."
    return Words(f"{about.name} could not be started", (("Its turn had come, but its server did not start.",), (then,)))


def _release_warning(about: Subject) -> Words:
    why = _WARNINGS.get(about.cause, "Its GPUs are needed.")
    when: Sentence = ("It may be stopped from ", about.until, " on.") if about.until else ("It is about to be stopped.",)
    then = _STAYS.get(about.cause, "Save your work. Its page says whether you can keep it for longer.")
    return Words(f"{about.name} is about to be stopped", ((why,), when, (then,)))


def _released(about: Subject) -> Words:
    why = _RELEASES.get(about.cause, "Its GPUs were needed.")
    again = "It can start again when the budget has enough." if about.cause == EndCause.BUDGET_EXHAUSTED else "Start it again when you need it."
    then = "It is in the queue again, at its place, and starts again by itself." if about.is_back else again
    return Words(f"{about.name} was stopped", ((why,), (f"Files that were saved are still there. {then}",)))


def _stopped(about: Subject) -> Words:
    return Words(f"An admin stopped {about.name}", (*_said(about), ("Files that were saved are still there. Start it again when you need it.",)))


def _withdrawn(about: Subject) -> Words:
    return Words(f"An admin took {about.name} out of the queue", (*_said(about), ("Nothing of it ran, and nothing is charged.",)))


def _budget_low(about: Subject) -> Words:
    said: tuple[Sentence, ...] = ((about.message,),) if about.message else ()
    when: tuple[Sentence, ...] = () if about.until is None else (("It begins anew at " if about.is_back else "It counts until ", about.until, "."),)
    taken = {"100": "all of it is taken", str(OVERDRAWN): "more than all of it is taken"}.get(about.word, f"{about.word} % of it are taken")
    return Words(f"{about.name}: {taken}", (*said, *when))


def _disputed(about: Subject) -> Words:
    return Words(f"{about.word} disputes {about.title}", (*_said(about), ("Answer it under Billing.",)))


def _dispute_answered(about: Subject) -> Words:
    return Words(f"{about.word} answered your dispute of {about.title}", (*_said(about), ("Its page under Billing has the whole of it.",)))


def _dispute_withdrawn(about: Subject) -> Words:
    return Words(f"{about.word} withdrew the dispute of {about.title}", (*_said(about), ("There is nothing to answer any more.",)))


def _said(about: Subject) -> tuple[Sentence, ...]:
    return ((f"They say: “{about.message}”",),) if about.message else ()


_WORDS: Mapping[NoticeKind, Callable[[Subject], Words]] = {
    NoticeKind.TURN_CAME: _turn_came,
    NoticeKind.INTEREST_EXPIRES: _interest_expires,
    NoticeKind.EXPIRED: _expired,
    NoticeKind.NOT_OPENED: _not_opened,
    NoticeKind.START_FAILED: _start_failed,
    NoticeKind.RELEASE_WARNING: _release_warning,
    NoticeKind.RELEASED: _released,
    NoticeKind.STOPPED: _stopped,
    NoticeKind.WITHDRAWN: _withdrawn,
    NoticeKind.BUDGET_LOW: _budget_low,
    NoticeKind.DISPUTED: _disputed,
    NoticeKind.DISPUTE_ANSWERED: _dispute_answered,
    NoticeKind.DISPUTE_WITHDRAWN: _dispute_withdrawn,
}
_EXPIRIES: Mapping[str, str] = {
    EndCause.INTEREST_EXPIRED: "Nobody confirmed in time that it was still wanted.",
    EndCause.TEMPLATE_REMOVED: "Its environment is not offered any more.",
    EndCause.PROJECT_CLOSED: "Its project is closed.",
    EndCause.NOT_ALLOWED: "Its environment or project is not for you any more.",
    EndCause.OPTIONS_REFUSED: "So much, or this GPU type, is not offered any more.",
    EndCause.NEVER_FITS: "Your limit or your project's is below it now.",
    EndCause.BUDGET_EXHAUSTED: "A budget that it would be paid from has too little left.",
}
_RELEASES: Mapping[str, str] = {
    EndCause.IDLE: "Its GPUs were idle, and somebody waited for them.",
    EndCause.SESSION_CAP: "It had run for the longest time of a session, and somebody waited for its GPUs.",
    EndCause.CLASS_BEGINS: "A class that had reserved its GPUs began.",
    EndCause.PREEMPTED: "The cluster needed its GPUs for others.",
    EndCause.BUDGET_EXHAUSTED: "A budget that paid for it is spent.",
}
_STAYS: Mapping[str, str] = {
    Cause.INACTIVE: "Open it before, and it stays.",
    Cause.BUDGET: "Save your work. It can only be kept for longer if an admin sets a larger budget.",
}
_WARNINGS: Mapping[str, str] = {
    Cause.INACTIVE: "Nobody has used it for a long time.",
    EndCause.IDLE: "Its GPUs are idle.",
    EndCause.SESSION_CAP: "It comes to the longest time of a session.",
    EndCause.CLASS_BEGINS: "A class begins that has reserved its GPUs.",
    EndCause.PREEMPTED: "The cluster's queue, Kueue, wants its GPUs back for others.",
    EndCause.BUDGET_EXHAUSTED: "A budget that pays for it is spent.",
}


def kind_of(allocation: Allocation, cause: EndCause, *, is_due_again: bool) -> NoticeKind | None:
    """Return what the owner is told of an end; None where they know it, or where it goes on.

    Parameters
    ----------
    is_due_again
        Whether it went back into the queue.
    """
    if cause is EndCause.NOT_OPENED:
        return NoticeKind.NOT_OPENED
    if cause is EndCause.STOPPED_BY_ADMIN:
        return NoticeKind.WITHDRAWN if allocation.held_at is None else NoticeKind.STOPPED
    if cause in _EXPIRIES and allocation.state is AllocationState.EXPIRED:
        return NoticeKind.EXPIRED
    if cause in _RELEASES:
        return NoticeKind.RELEASED
    is_failure = cause in {EndCause.START_FAILED, EndCause.HOLD_EXPIRED} and allocation.stop_requested_by is None
    return NoticeKind.START_FAILED if is_failure and allocation.queued_at is not None and not is_due_again else None


TOLD_CAUSES = frozenset(
    {*_EXPIRIES, *_RELEASES, EndCause.NOT_OPENED.value, EndCause.STOPPED_BY_ADMIN.value, EndCause.START_FAILED.value, EndCause.HOLD_EXPIRED.value}
)
"""Ends of which :func:`kind_of` may say something."""
