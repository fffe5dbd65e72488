"""The page on which an admin charges a session to another project, after a look at what that changes."""

from __future__ import annotations

from fractions import Fraction

from aiplatform_hub.domain.session_moves import Account, MovedAmount
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.session_moves import MovePage, account_text, amount_rows, choices
from tests.web.samples import CATALOG, HOSTILE, frame

AMOUNTS = (MovedAmount("2026-10", "EUR", Fraction("36.72"), Fraction("40.80")), MovedAmount("2026-11", "EUR", Fraction(1, 3), Fraction(0)))


def session_move() -> str:
    vision = CATALOG.projects["vision"]
    target = Account(vision.name, vision.cost_centre)
    page = MovePage(
        title="PyTorch",
        owner=HOSTILE,
        now=account_text(Account("personal", "personal")),
        choices=choices(CATALOG, Account("personal", "personal"), "vision"),
        session_url="/services/platform/sessions/1",
        target=account_text(target),
        chosen="vision",
        amounts=amount_rows(AMOUNTS),
        reason=HOSTILE,
    )
    return render("session-move.html", frame("admin"), page=page)


PAGES = {"session-move": session_move}
