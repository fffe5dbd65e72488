"""Disputes: what a reader of invoices asks about a line, and what an admin answers. Pure; nothing that was said ever changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from aiplatform_hub.domain.invoices import Invoice, State
from aiplatform_hub.errors import ConflictError, ForbiddenError, InvalidOptionError, NotFoundError, Reason

MOST_TEXT = 2000
"""Longest text of an entry, in characters."""


class EntryKind(StrEnum):
    """What an entry does."""

    OPENED = "opened"
    REPLIED = "replied"
    """Whoever disputes says more: it is open again."""
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"


class DisputeState(StrEnum):
    """What a dispute waits for."""

    OPEN = "open"
    """For an answer."""
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"
    """For nothing: it is over."""


STATES: Mapping[EntryKind, DisputeState] = {
    EntryKind.OPENED: DisputeState.OPEN,
    EntryKind.REPLIED: DisputeState.OPEN,
    EntryKind.ANSWERED: DisputeState.ANSWERED,
    EntryKind.WITHDRAWN: DisputeState.WITHDRAWN,
}
"""The state after each kind of entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was said."""

    number: int
    """Its place in the dispute, from 1."""
    kind: EntryKind
    by: str
    at: datetime
    """Aware UTC."""
    text: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """One line of one invoice, and what was said about it, in order."""

    id: UUID
    invoice_id: UUID
    position: int
    """Of the line."""
    entries: tuple[Entry, ...]

    @property
    def state(self) -> DisputeState:
        """What the last entry made of it."""
        return STATES[self.entries[-1].kind]

    @property
    def opened_by(self) -> str:
        """Who began it."""
        return self.entries[0].by

    @property
    def disputants(self) -> frozenset[str]:
        """Who has spoken for it: they are told of an answer."""
        return frozenset(entry.by for entry in self.entries if entry.kind is not EntryKind.ANSWERED)


def entry_text(text: str, *, is_needed: bool = True) -> str:
    """Return what somebody says, without white space around it.

    Raises
    ------
    InvalidOptionError
        If it is empty though it is needed, too long, or holds control characters.
    """
    said = text.replace("\r\n", "\n").strip()
    if is_needed and not said:
        raise _invalid("Say what it is about: the text is empty.")
    if len(said) > MOST_TEXT or not all(character.isprintable() or character == "\n" for character in said):
        raise _invalid(f"The text must be at most {MOST_TEXT} characters, without control characters.")
    return said


def check_disputable(invoice: Invoice, position: int) -> None:
    """Refuse a line that cannot be disputed.

    Raises
    ------
    NotFoundError
        If the invoice has no such line.
    ConflictError
        If it is a draft, which nobody owes yet, or was taken back.
    """
    check_line(invoice, position)
    if invoice.state is State.DRAFT:
        raise ConflictError("This is a draft: nobody owes it yet. It can be disputed once it is issued.")
    if invoice.state is State.VOID:
        raise ConflictError(f"Invoice {invoice.number} was taken back by {invoice.credited_by}: nobody owes it any more.")


def check_line(invoice: Invoice, position: int) -> None:
    """Refuse a position that the invoice does not have.

    Raises
    ------
    NotFoundError
        Saying so.
    """
    if not any(line.position == position for line in invoice.lines):
        raise NotFoundError(f"{invoice.title[0].upper()}{invoice.title[1:]} has no line {position}.")


def check_new(others: tuple[Dispute, ...], position: int) -> None:
    """Refuse a second dispute of a line beside one that stands.

    Raises
    ------
    ConflictError
        Naming the one that stands.
    """
    standing = next((each for each in others if each.position == position and each.state is not DisputeState.WITHDRAWN), None)
    if standing is not None:
        raise ConflictError(f"{standing.opened_by} disputes line {position} already: reply there.")


def replied(dispute: Dispute, *, by: str, at: datetime, text: str) -> Entry:
    """Return the entry with which somebody says more.

    Raises
    ------
    ConflictError
        If it is withdrawn.
    InvalidOptionError
        As :func:`entry_text`.
    """
    return _next(dispute, EntryKind.REPLIED, by=by, at=at, text=entry_text(text))


def answered(dispute: Dispute, *, by: str, at: datetime, text: str) -> Entry:
    """Return the entry with which an admin answers.

    Raises
    ------
    ConflictError
        If it is withdrawn.
    InvalidOptionError
        As :func:`entry_text`.
    """
    return _next(dispute, EntryKind.ANSWERED, by=by, at=at, text=entry_text(text))


def withdrawn(dispute: Dispute, *, by: str, at: datetime, text: str) -> Entry:
    """Return the entry that ends it.

    Raises
    ------
    ForbiddenError
        If somebody else opened it.
    ConflictError
        If it is withdrawn already.
    InvalidOptionError
        As :func:`entry_text`; the text may be empty.
    """
    if by != dispute.opened_by:
        raise ForbiddenError(f"Only {dispute.opened_by}, who opened it, may withdraw it.", reasons=(Reason("forbidden", "Somebody else's dispute"),))
    return _next(dispute, EntryKind.WITHDRAWN, by=by, at=at, text=entry_text(text, is_needed=False))


def _next(dispute: Dispute, kind: EntryKind, *, by: str, at: datetime, text: str) -> Entry:
    if dispute.state is DisputeState.WITHDRAWN:
        raise ConflictError("The dispute is withdrawn, so it is over. Open a new one if something else is wrong.")
    return Entry(dispute.entries[-1].number + 1, kind, by, max(at, dispute.entries[-1].at), text)


def _invalid(message: str) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason("invalid_option", message, field="text"),))
