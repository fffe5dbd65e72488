"""The monthly mail to project leads: once for each month and lead, with the numbers of the reports, through a real SMTP server."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import insert, select
from test_cost_reporter import random_interval, store

from aiplatform_hub.clients.notifiers.email import make
from aiplatform_hub.domain.catalog import Catalog, CostCentre, Project, RateCard
from aiplatform_hub.domain.chargeback import with_idle_prices
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.notice_delivery import NoticeDelivery
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.operations.showback import Showback
from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.notifications import NotificationStore
from aiplatform_hub.storage.schema import activity_intervals, audit_events, notification_deliveries, notifications
from aiplatform_hub.storage.showback import ShowbackStore
from aiplatform_hub.storage.usage_sums import UsageSums
from tests.clients.test_email_notifier import Mailbox, free_port, options, running

FEBRUARY, MARCH = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
CARD = RateCard("1", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"*": Decimal("2.50")}, Decimal("0.10"), project_discount_percent={"vision": Decimal(20)})
PROJECTS = {
    "vision": Project("vision", "Vision", "lab", leads=("lea", "ben")),
    "nlp": Project("nlp", "Language", "lab", leads=("lea",)),
    "unused": Project("unused", "Unused", "lab", leads=("ada",)),
    "other": Project("other", "Other", "lab"),
}
CATALOG = Catalog({}, {}, {}, PROJECTS, {"lab": CostCentre("lab", "Lab")}, (CARD,))


@dataclass
class Clock:
    now: datetime = MARCH + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def showback(database: Database, clock: Clock, notices: Notices | None = None) -> Showback:
    """One process's."""
    return Showback(
        database=database,
        catalog=CATALOG,
        showback=ShowbackStore(),
        charges=ChargeReader(uses=ChargedUseStore(), cards=lambda: with_idle_prices((CARD,))),
        sums=UsageSums(),
        activity=ActivitySums(),
        notices=notices or telling(database, clock),
        audit_trail=AuditTrail(database=database, audit=AuditStore(), clock=clock),
        clock=clock,
    )


def telling(database: Database, clock: Clock) -> Notices:
    return Notices(database=database, notifications=NotificationStore(), catalog=CATALOG, channels=("email", "webpush"), clock=clock)


def session(number: int, project: str, start: datetime, hours: int, **values):
    base = replace(random_interval(random.Random(1), 1), gpus=1, gpu_type="h100", end_cause=None, estimated=False)
    named = {"id": UUID(int=number << 96), "allocation_id": UUID(int=number << 96), "user_name": f"user{number}", "project": project, "cost_centre": "lab"}
    return replace(base, started_at=start, ended_at=start + timedelta(hours=hours), **{**named, **values})


def made_february(database: Database, *more) -> None:
    """vision: 2 GPUs for 10 h, used for 2 h and idle for 5, and 1 for 30 h of which nothing is known; nlp: no GPUs; other: not to be told of."""
    rows = [
        session(1, "vision", FEBRUARY, 10, gpus=2),
        session(2, "vision", FEBRUARY + timedelta(days=3), 30),
        session(3, "nlp", FEBRUARY, 100, gpus=0, gpu_type=None),
        session(4, "other", FEBRUARY, 50),
        *more,
    ]
    store(database, rows)
    with database.write() as connection:
        for activity, low, high in (("used", 0, 2), ("idle", 2, 7)):
            span = {"started_at": FEBRUARY + timedelta(hours=low), "ended_at": FEBRUARY + timedelta(hours=high), "last_seen_at": FEBRUARY}
            connection.execute(insert(activity_intervals).values(allocation_id=rows[0].allocation_id, activity=activity, samples=1, **span))


def told(database: Database, clock: Clock) -> dict[str, list[str]]:
    """Subject and sentences by person."""
    notices, found = telling(database, clock), {}
    for lead in ("ada", "ben", "lea"):
        for each in notices.of(lead, limit=9):
            found.setdefault(lead, []).extend([each.words.subject, *(str(part) for sentence in each.words.sentences for part in sentence)])
    return found


OFF = "To get this no more, turn it off in Settings, or run: aiplatform showback off"
VISION = [
    "Vision cost 100.00 EUR.",
    "Its sessions held GPUs for 50.0 GPU-hours, 10.0 of them idle; as far as it is known, they were busy 29 % of the time.",
    "Idle longest: 00000001 of user1, 10.0 GPU-hours.",
]


def test_each_lead_is_told_once_of_their_projects(database: Database, clock: Clock) -> None:
    made_february(database)
    assert showback(database, clock).look() == 2, "ada's project was not used"
    assert told(database, clock) == {
        "ben": ["February 2026: what Vision used", *VISION, OFF],
        "lea": ["February 2026: what your projects used", *VISION, "Language cost 10.00 EUR.", "It held no GPUs.", OFF],
    }
    clock.now += timedelta(days=9)
    assert [showback(database, clock).look() for _ in range(2)] == [0, 0]
    assert len(told(database, clock)["ben"]) == 5


def test_it_goes_out_by_mail_and_by_nothing_else(database: Database, clock: Clock) -> None:
    made_february(database)
    showback(database, clock).look()
    with database.read() as connection:
        assert set(connection.execute(select(notification_deliveries.c.channel)).scalars()) == {"email"}
    mailbox = Mailbox()
    with running(Controller(mailbox, hostname="127.0.0.1", port=free_port())) as server:
        mailer = make(options(server, security="none"), "")
        delivery = NoticeDelivery(
            database=database, notifications=NotificationStore(), notifiers={"email": mailer}, page_of=lambda _: "https://gpu.example.org/home", clock=clock
        )
        assert [delivery.pass_on("email") for _ in range(2)] == [2, 0]
    by_person = {mail["To"]: mail for mail in mailbox.mails}
    assert set(by_person) == {"ben@example.org", "lea@example.org"}
    assert by_person["ben@example.org"]["Subject"] == "February 2026: what Vision used"
    assert by_person["ben@example.org"].get_content().splitlines()[:4] == [*VISION, OFF]


def test_who_is_killed_between_two_leads_tells_the_other_later(database: Database, clock: Clock) -> None:
    made_february(database)
    notices = telling(database, clock)
    tell = notices.tell

    def killed_at_the_second(connection, **how):
        if told(database, clock):
            tell(connection, **how)
            raise KeyboardInterrupt
        return tell(connection, **how)

    notices.tell = killed_at_the_second
    with pytest.raises(KeyboardInterrupt):
        showback(database, clock, notices).look()
    (first,) = told(database, clock)
    assert showback(database, clock).look() == 1
    assert set(told(database, clock)) == {"ben", "lea"} > {first}
    with database.read() as connection:
        assert len(connection.execute(select(notifications.c.id)).all()) == 2


def test_of_many_who_look_at_once_one_tells(database: Database, clock: Clock) -> None:
    made_february(database)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda one: one.look(), [showback(database, clock) for _ in range(4)])) == 2


def test_who_wants_none_gets_none_and_that_is_audited(database: Database, clock: Clock) -> None:
    made_february(database)
    desk = showback(database, clock)
    assert (desk.is_lead("ben"), desk.is_lead("user1"), desk.is_wanted("ben")) == (True, False, True)
    for _ in range(2):
        desk.choose("ben", is_wanted=False)
    assert not desk.is_wanted("ben")
    assert desk.look() == 1
    assert set(told(database, clock)) == {"lea"}
    desk.choose("ben", is_wanted=True)
    assert desk.is_wanted("ben")
    with database.read() as connection:
        rows = connection.execute(select(audit_events).order_by(audit_events.c.id)).mappings()
        assert [(row["actor"], row["action"], row["detail"]) for row in rows] == [
            ("ben", "choose_showback", {"is_wanted": False}),
            ("ben", "choose_showback", {"is_wanted": True}),
        ]


def test_a_month_that_is_not_complete_waits_three_days_and_says_so(database: Database, clock: Clock) -> None:
    running_on = session(9, "vision", MARCH - timedelta(hours=4), 5)
    made_february(database, replace(running_on, ended_at=None, last_seen_at=MARCH + timedelta(minutes=30)))
    desk = showback(database, clock)
    assert desk.look() == 0
    clock.now = MARCH + timedelta(days=3)
    assert desk.look() == 2
    assert "Some sessions that began in that month still run, so it may become more." in told(database, clock)["ben"]


def test_after_the_twentieth_nobody_is_told(database: Database, clock: Clock) -> None:
    """Notices are kept for thirty days: what was told on the first must not be told again on the thirty-first."""
    made_february(database)
    clock.now = MARCH + timedelta(days=20)
    assert showback(database, clock).look() == 0
    clock.now -= timedelta(seconds=1)
    assert showback(database, clock).look() == 2


def test_names_of_any_length_have_a_key(database: Database, clock: Clock) -> None:
    made_february(database)
    desk = showback(database, clock)
    desk._leads = {"x" * 255: ("vision",)}
    assert desk.look() == 1
