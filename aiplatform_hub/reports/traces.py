"""Demand traces as CSV: read with every row checked, and written with the same columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from aiplatform_hub.catalog.problems import Problem, repeated, unknown
from aiplatform_hub.domain.policy import DAY_SECONDS
from aiplatform_hub.domain.twin import Trace, TraceSession

COLUMNS = ("user", "project", "sequence", "think_seconds", "gpus", "work_seconds", "idle_tail_seconds", "office_hours")
"""The header, in the order in which traces are written; they are read in any."""

MAX_BYTES = 32 * 1024**2
MAX_PROBLEMS = 1000
"""So many problems of one file are told; then reading stops."""

_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class TraceReading:
    """What became of a file."""

    trace: Trace
    """Worthless where there are problems."""
    problems: tuple[Problem, ...]


def read_trace(file: Path, *, capacity_gpus: int, days: int) -> TraceReading:
    """Return the trace of a file, named as the file without its ending, and everything that is wrong with it.

    Parameters
    ----------
    capacity_gpus
        GPUs of the box; nobody may ask for more.
    days
        What is scored, from the start of the trace.
    """
    reading = _Reading(file, capacity_gpus)
    sessions = reading.sessions()
    return TraceReading(Trace(file.stem, capacity_gpus, days * DAY_SECONDS, sessions), tuple(reading.problems))


def trace_text(sessions: Iterable[TraceSession]) -> str:
    """Return sessions as the text of a trace file, lengths to the second."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    for session in sessions:
        writer.writerow([round(value) if isinstance(value, float) else int(value) if isinstance(value, bool) else value for value in astuple(session)])
    return lines.getvalue()


class _TooManyProblemsError(Exception):
    """So much is wrong that reading stops."""


@dataclass(slots=True)
class _Reading:
    file: Path
    capacity_gpus: int
    problems: list[Problem] = field(default_factory=list)
    places: dict[str, dict[int, int]] = field(default_factory=dict)
    """Line of each session by user and sequence."""
    users_in_doubt: set[str] = field(default_factory=set)
    """Those with a row whose sequence cannot be read."""

    def sessions(self) -> tuple[TraceSession, ...]:
        text = self._text()
        try:
            found = () if text is None else tuple(self._rows(text))
            if not found and not self.problems:
                self._note(1, "the trace has no sessions; write one in each line under the header")
            self._check_sequences()
        except _TooManyProblemsError:
            found = ()
            self.problems.append(Problem(self.file, None, f"reading stopped after {MAX_PROBLEMS} problems"))
        return found

    def _text(self) -> str | None:
        try:
            with self.file.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            self._note(None, f"cannot be read: {error.strerror or error}")
            return None
        if len(data) > MAX_BYTES:
            self._note(None, f"is larger than {MAX_BYTES // 1024**2} MiB; take fewer days")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self._note(data[: error.start].count(b"\n") + 1, "is not UTF-8 text; save the file as CSV in UTF-8")
            return None

    def _rows(self, text: str) -> Iterator[TraceSession]:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not self._is_header(header, max(1, reader.line_num)):
                return
            positions = [header.index(name) for name in COLUMNS]
            begins = reader.line_num + 1
            for cells in reader:
                session = self._session(begins, [cell.strip() for cell in cells], positions) if any(cells) else None
                begins = reader.line_num + 1
                if session is not None:
                    yield session
        except csv.Error as error:
            self._note(reader.line_num, f"not valid CSV: {error}")

    def _is_header(self, header: Sequence[str], line: int) -> bool:
        before = len(self.problems)
        if not set(header) & set(COLUMNS):
            is_apart = len(header) == 1 and re.search(r"[;\t]", header[0])
            self._note(line, "columns must be separated by commas" if is_apart else f"the first line must be the header: {','.join(COLUMNS)}")
            return False
        for position, name in enumerate(header):
            if name not in COLUMNS:
                self._note(line, unknown("column", name, COLUMNS))
            elif name in header[:position]:
                self._note(line, f"the column {name} stands twice")
        for name in COLUMNS:
            if name not in header:
                self._note(line, f"the column {name} is missing; the header is {','.join(COLUMNS)}")
        return len(self.problems) == before

    def _session(self, line: int, cells: Sequence[str], positions: Sequence[int]) -> TraceSession | None:
        if len(cells) != len(COLUMNS):
            self._note(line, f"has {len(cells)} columns; the header has {len(COLUMNS)}")
            self.users_in_doubt |= set(cells)  # any of them may be the user
            return None
        named = dict(zip(COLUMNS, (cells[position] for position in positions), strict=True))
        values = [self._value(line, name, named[name]) for name in COLUMNS]
        self._place(line, named["user"], values[COLUMNS.index("sequence")])
        return None if None in values else TraceSession(*values)

    def _value(self, line: int, name: str, cell: str) -> Any:
        """Return the value of a cell; None if it is wrong, which the problems say."""
        try:
            value = _READ[name](cell)
        except ValueError as error:
            self._note(line, f"{name} {error}, not {repeated(cell)}")
            return None
        if name == "gpus" and value > self.capacity_gpus:
            self._note(line, f"gpus is {value}; the box has {self.capacity_gpus} (--gpus says how many)")
            return None
        return value

    def _place(self, line: int, user: str, sequence: int | None) -> None:
        if sequence is None:
            self.users_in_doubt.add(user)
            return
        theirs = self.places.setdefault(user, {})
        if sequence in theirs:
            self._note(line, f"session {sequence} of {repeated(user)} stands twice; first on line {theirs[sequence]}")
        theirs.setdefault(sequence, line)

    def _check_sequences(self) -> None:
        """Note where a person's sessions do not count 0, 1, 2, … without a gap."""
        for user, theirs in self.places.items():
            expected = 0
            for sequence in sorted(theirs) if user not in self.users_in_doubt else ():
                if sequence > expected:
                    last = "" if sequence == expected + 1 else f" to {sequence - 1}"
                    self._note(theirs[sequence], f"{repeated(user)} has no session {expected}{last} before this one; each user's count 0, 1, 2, … without gaps")
                expected = sequence + 1

    def _note(self, line: int | None, text: str) -> None:
        if len(self.problems) == MAX_PROBLEMS:
            raise _TooManyProblemsError
        self.problems.append(Problem(self.file, line, text))


def _name(cell: str) -> str:
    if not cell or len(cell) > _LONGEST_NAME or not cell.isprintable():
        raise ValueError(f"must be a name of 1 to {_LONGEST_NAME} characters")
    return cell


def _whole(cell: str) -> int:
    if not _WHOLE.fullmatch(cell):
        raise ValueError("must be a whole number, 0 or more")
    return int(cell)


def _gpus(cell: str) -> int:
    if not _WHOLE.fullmatch(cell) or int(cell) == 0:
        raise ValueError("must be a whole number, 1 or more")
    return int(cell)


def _seconds(cell: str) -> float:
    if not _SECONDS.fullmatch(cell):
        raise ValueError("must be a number of seconds, 0 or more, such as 3600 or 0.5")
    return float(cell)


def _is_yes(cell: str) -> bool:
    if cell not in {"0", "1"}:
        raise ValueError("must be 0 or 1")
    return cell == "1"


_READ: dict[str, Callable[[str], Any]] = {
    "user": _name,
    "project": _name,
    "sequence": _whole,
    "think_seconds": _seconds,
    "gpus": _gpus,
    "work_seconds": _seconds,
    "idle_tail_seconds": _seconds,
    "office_hours": _is_yes,
}
"""How each column's cells are read; each raises a ValueError that says what would be right."""
