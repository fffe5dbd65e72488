"""Sessions of which something is said, and pages that say it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, EndCause
from aiplatform_hub.domain.inactivity import InactivityLimit, Rule
from aiplatform_hub.domain.policy import SHIPPED, ClassReservation
from aiplatform_hub.domain.release import Action, Cause, ReleaseView
from aiplatform_hub.domain.release_sentences import Told
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.environments import EnvironmentCard, HomePage, Money, environment_card
from aiplatform_hub.web.view_models.policy import policy_page, session_row
from aiplatform_hub.web.view_models.release import notice
from aiplatform_hub.web.view_models.session import SessionPage, session_facts
from tests.web.samples import CATALOG, ENDED, HOSTILE, NOW, PATHS, RUNNING, frame

MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE
KEPT = ReleaseView(Action.KEEP, None, None, False, False, None, NOW + HOUR, None, NOW - HOUR)
"""Nothing threatens a session."""
IDLE = replace(
    KEPT, action=Action.WARN, deadline=NOW + 4 * MINUTE, why=Cause.IDLE, is_somebody_waiting=True, idle_since=NOW - 6 * MINUTE, can_extend_until=NOW + HOUR
)
"""It is warned of being idle, and somebody waits."""
OVER = replace(RUNNING, id=UUID(int=8), server_name=HOSTILE, started_at=NOW - 23 * HOUR)
"""A session that nobody can keep any longer."""
AT_CEILING = replace(IDLE, why=Cause.CAP, can_extend_until=None)
UNUSED = (InactivityLimit(28800, Rule.PROJECT, "vision"), InactivityLimit(None, Rule.ENVIRONMENT_TEMPLATE, "jupyterlab"), InactivityLimit(10800, Rule.PLACE))
BUSY = replace(RUNNING, id=UUID(int=9), server_name="busy")


def warned_card(allocation: Allocation, view: ReleaseView) -> EnvironmentCard:
    cost = Money(Decimal("6.2"), "EUR")
    release = notice(Told(allocation, view, SHIPPED, NOW))
    return environment_card(allocation, cost=cost, catalog=CATALOG, now=NOW, paths=PATHS, release=release)


def warned_home() -> str:
    released = environment_card(replace(ENDED, end_cause=EndCause.IDLE), cost=None, catalog=CATALOG, now=NOW, paths=PATHS)
    fresh = replace(KEPT, guaranteed_until=NOW + 20 * MINUTE)
    cards = (warned_card(RUNNING, IDLE), warned_card(OVER, AT_CEILING), warned_card(BUSY, fresh))
    return render("home.html", frame(), page=HomePage(cards, (released,), None, "", "Default", (), ()), problem=None)


def warned_session(view: ReleaseView = KEPT) -> str:
    page = SessionPage(warned_card(RUNNING, view), session_facts(RUNNING, CATALOG), (), "It was admitted.", (), (), "–", "", "Nothing was written yet.")
    return render("session.html", frame(), page=page, problem=None)


def policy() -> str:
    begins = NOW.timestamp() + 86_400
    classes = (
        ClassReservation("vision", 2, "h100", begins, begins + 7200),
        ClassReservation("secret-project", 1, None, begins - 86_300, begins),
        ClassReservation("vision", 4, None, begins - 172_800, begins - 86_400),
    )
    chosen = replace(SHIPPED, reservations=classes, project_limits={"vision": 3, "secret-project": 1})
    bare = replace(RUNNING, id=UUID(int=10), server_name="bare", devices=(), request=replace(RUNNING.request, gpus=0, gpu_type=None))
    sessions = ((RUNNING, IDLE, None), (OVER, AT_CEILING, None), (BUSY, KEPT, None), (bare, KEPT, UNUSED[0]))
    rows = [session_row(Told(session, view, chosen, NOW), CATALOG, PATHS, unused) for session, view, unused in sessions]
    return render(
        "policy.html",
        frame("policy"),
        page=policy_page(chosen, unused=UNUSED, catalog=CATALOG, projects={"vision", "personal"}, sessions=rows, now=NOW),
    )
