"""The policy in force in plain words, and what it means for the reader's own sessions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.inactivity import InactivityLimit
from aiplatform_hub.domain.names import is_same_name
from aiplatform_hub.domain.policy import ClassReservation, Policy
from aiplatform_hub.domain.queue_sentences import span
from aiplatform_hub.domain.release_sentences import Told, length
from aiplatform_hub.web.view_models.environments import resources
from aiplatform_hub.web.view_models.formats import Stamp, gpus, server_label, stamp
from aiplatform_hub.web.view_models.inactivity import UnusedRow, unused_rows, unused_sentence
from aiplatform_hub.web.view_models.labels import gpu_label, project_label, template_label
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.release import Notice, notice


@dataclass(frozen=True, slots=True)
class Section:
    """Some sentences under a heading."""

    id: str
    heading: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WindowRow:
    """GPUs that are kept for a class for some time."""

    project: str
    gpus: str
    start: Stamp | None
    end: Stamp | None


@dataclass(frozen=True, slots=True)
class LimitRow:
    """How many GPUs one of the reader's projects may hold at once."""

    project: str
    gpus: str


@dataclass(frozen=True, slots=True)
class SessionRow:
    """What will happen to one of the reader's sessions, and when."""

    title: str
    server: str
    """Its name; empty where it only says the title again."""
    url: str
    uses: str
    release: Notice
    unused: str
    """When it ends because nobody uses it, for one without GPUs; empty for others."""


@dataclass(frozen=True, slots=True)
class PolicyPage:
    """What the Policy page shows."""

    sections: tuple[Section, ...]
    unused: tuple[UnusedRow, ...]
    """How long sessions without GPUs may be unused; none where that is one sentence."""
    windows: tuple[WindowRow, ...]
    limits: tuple[LimitRow, ...]
    sessions: tuple[SessionRow, ...]


def policy_page(  # noqa: PLR0913  keyword-only
    policy: Policy, *, unused: Sequence[InactivityLimit], catalog: Catalog, projects: Collection[str], sessions: Iterable[SessionRow], now: datetime
) -> PolicyPage:
    """Return the page.

    Parameters
    ----------
    unused
        After how long sessions of the reader's without GPUs end that nobody uses; of those that fit the first one counts.
    projects
        Names of the reader's own projects; others are not named.
    """
    coming = sorted((r for r in policy.reservations if r.end_seconds > now.timestamp()), key=lambda r: r.start_seconds)
    return PolicyPage(
        sections=(
            Section("taken", "What is given back, and when", taken(policy, unused)),
            Section("kept", "What you can rely on", kept(policy)),
            _order(policy),
        ),
        unused=unused_rows(unused, catalog),
        windows=tuple(_window(reservation, catalog, projects) for reservation in coming),
        limits=tuple(LimitRow(project_label(catalog, name), _limit(number)) for name, number in sorted(policy.project_limits.items()) if name in projects),
        sessions=tuple(sessions),
    )


def session_row(told: Told, catalog: Catalog, paths: Paths, unused: InactivityLimit | None = None) -> SessionRow:
    """Return what will happen to a running session.

    Parameters
    ----------
    unused
        How long one without GPUs may be unused; None for others, and where that is not known.
    """
    session = told.session
    title = template_label(catalog, session.request.environment_template)
    return SessionRow(
        title=title,
        server="" if is_same_name(title, session.server_name) else server_label(session.server_name),
        url=paths.session(session.id),
        uses=resources(session.request, catalog),
        release=notice(told),
        unused="" if unused is None else unused_sentence(unused, catalog),
    )


def taken(policy: Policy, unused: Sequence[InactivityLimit]) -> tuple[str, ...]:
    """Return what takes GPUs away from a session, or ends it."""
    when = "while somebody waits for them" if policy.acts_only_while_somebody_waits else "whether or not somebody waits"
    sentences = []
    if policy.is_releasing and policy.idle_after_seconds is not None:
        sentences.append(
            f"Idle GPUs are given back {when}: all GPUs of the session have done nothing for {length(policy.idle_after_seconds)}, and their memory has not grown. "
            "What is not measured never counts as idle."
        )
    if policy.is_releasing and policy.session_cap_seconds is not None:
        whom = "" if policy.takes_from_equals or not policy.acts_only_while_somebody_waits else ", and only for somebody who is more entitled than its owner"
        sentences.append(f"A session that has run for {length(policy.session_cap_seconds)} gives its GPUs back {when}{whom}.")
    if not sentences:
        sentences.append("Nothing is taken back: a session keeps its GPUs until its owner stops it.")
    sentences.append("A session that was told at its launch to make room for a class ends when the class begins.")
    if len(unused) == 1 and unused[0].after_seconds is not None:
        sentences.append(f"A session without GPUs that nobody has used for {length(unused[0].after_seconds)} ends.")
    elif any(limit.after_seconds is not None for limit in unused):
        sentences.append("A session without GPUs ends when nobody has used it for some time, which the list below says.")
    sentences.append("The session is stopped as if you had stopped it: your files stay, what is only in memory is lost.")
    return tuple(sentences)


def kept(policy: Policy) -> tuple[str, ...]:
    """Return what nothing takes away."""
    warned = f"You are warned at least {length(policy.idle_warning_seconds)} before: on Home, on the session's page and inside JupyterLab."
    if not policy.is_releasing:
        return (warned,)
    sentences = [f"In its first {length(policy.guaranteed_seconds)} nothing takes a session's GPUs."]
    if policy.session_cap_seconds is not None:
        sentences.append(f"Whoever keeps the GPUs busy is not stopped before {length(policy.session_cap_seconds)}.")
    sentences.append(warned)
    sentences.append(
        f"One click keeps a session for {length(policy.extension_seconds)} from then on, idle or not, as often as you like, "
        f"until {length(policy.session_ceiling_seconds)} after its start."
    )
    sentences.append("The one exception is a class that was announced when the session was launched.")
    return tuple(sentences)


def _order(policy: Policy) -> Section:
    return Section("order", "Who is next", tuple(sentence for sentence in (_first(policy), _among_equals(policy), _patience(policy)) if sentence))


def _first(policy: Policy) -> str:
    if not policy.is_fair:
        return "Whoever asked first comes first."
    return (
        "Whose project has used less of its share comes first, and within a project whoever has used less; "
        f"use loses half of its weight in {span(policy.half_life_seconds)}."
    )


def _among_equals(policy: Policy) -> str:
    if not policy.is_fair:
        return "" if policy.backfill else "Nobody passes who would need the same GPUs."
    shortest = "whoever will probably need the GPUs for the shortest time, then " if policy.is_shortest_first else ""
    return f"Among those who are about equal comes {shortest}whoever asked first."


def _patience(policy: Policy) -> str:
    whole, any_ = policy.whole_node_first_after_seconds, policy.overdue_after_seconds
    after = [
        *([f"a request for all GPUs of a machine comes first after {length(whole)} at the latest"] if whole is not None else []),
        *([f"any request after {length(any_)}"] if any_ is not None else []),
    ]
    if not after:
        return ""
    sentence = " and ".join(after)
    return f"{sentence[0].upper()}{sentence[1:]}, and from then on others pass only if they do not delay it: nobody starves."


def _window(reservation: ClassReservation, catalog: Catalog, projects: Collection[str]) -> WindowRow:
    return WindowRow(
        project=project_label(catalog, reservation.project) if reservation.project in projects else "another project",
        gpus=gpus(reservation.gpus, gpu_label(catalog, reservation.gpu_type)),
        start=stamp(datetime.fromtimestamp(reservation.start_seconds, UTC)),
        end=stamp(datetime.fromtimestamp(reservation.end_seconds, UTC)),
    )


def _limit(number: int) -> str:
    return f"{number} at once" if number else "none"
