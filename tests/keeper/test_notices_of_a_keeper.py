"""Notices by a real keeper: mail and webhook arrive once over its death, and a mail server that hangs delays nothing else."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import replace

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import select

from aiplatform_hub.domain.allocations import EndCause, ServerKey
from aiplatform_hub.domain.notices import NoticeKind
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.storage.schema import notification_deliveries
from tests.clients.test_email_notifier import Mailbox, free_port, running
from tests.clients.test_webhook_notifier import SECRET, receiver  # noqa: F401 - a fixture
from tests.support.hub import wait_for


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("AIPLATFORM_NOTIFIER_WEBHOOK_SECRET", SECRET)


@pytest.fixture
def mailbox():
    box = Mailbox()
    with running(Controller(box, hostname="127.0.0.1", port=free_port())) as server:
        box.port = server.port
        yield box


def mails_to(port):
    return {"host": "127.0.0.1", "port": port, "security": "none", "from": "hub@example.org", "email_domain": "example.org", "timeout_seconds": 60}


def configure(machine, **notifiers):
    machine.settings = replace(machine.settings, notifiers=json.dumps(notifiers))
    machine.factory.settings = machine.settings


def granted(machine, user, taken=(2, 2)):
    """A session that its owner waited for while others had so many GPUs, ready."""
    holders = [machine.hold(90 + number, "", gpus) for number, gpus in enumerate(taken)]
    caller = Caller(user, f"user{user}")
    queued = machine.factory.enforcer.hold(caller, machine.request(1), ServerKey(user, "s"), door="rest", actor=caller.user_name, may_wait=True)
    for holder in holders:
        machine.factory.meter.released(holder.id, EndCause.STOPPED_BY_USER, holder.user_name)
    machine.factory.dispatcher.dispatch({caller.user_name: caller})
    server = ServerKey(user, "s", user * 10)
    taken = machine.factory.enforcer.take_up(caller, machine.request(1), server, door="hub", actor="keeper", hub_instance=machine.instance, is_dispatched=True)
    assert taken.id == queued.id
    machine.factory.meter.started(taken.id, machine.launch(taken).started_at)
    machine.factory.meter.ready(taken.id, machine.factory.clock())
    return machine.find(taken.id)


def deliveries(machine, channel):
    with machine.factory.database.read() as connection:
        rows = connection.execute(select(notification_deliveries).where(notification_deliveries.c.channel == channel)).mappings()
        return [dict(row) for row in rows]


def delivered(machine, channel):
    return [row for row in deliveries(machine, channel) if row["delivered_at"] is not None]


def test_each_notice_is_mailed_and_posted_once_though_the_keeper_is_killed(machine, mailbox, receiver):  # noqa: F811
    configure(machine, email=mails_to(mailbox.port), webhook={"url": receiver.url})
    granted(machine, 5)
    for _ in range(4):
        keeper = machine.start_keeper()
        wait_for(lambda: delivered(machine, "email") and delivered(machine, "webhook"), machine.keeper_log, 60)
        keeper.kill()
        keeper.wait(10)
    assert [mail["To"] for mail in mailbox.mails] == ["user5@example.org"]
    assert [json.loads(body)["kind"] for _, _, body in receiver.requests] == ["turn_came"]
    assert [told.notice.kind for told in machine.factory.notices.of("user5", limit=9)] == [NoticeKind.TURN_CAME]
    assert SECRET not in machine.keeper_log()


def test_receiver_that_is_away_at_first_gets_it_after_a_pause(machine, receiver):  # noqa: F811
    configure(machine, webhook={"url": receiver.url})
    receiver.status = 503
    granted(machine, 5)
    machine.start_keeper()
    wait_for(lambda: [row for row in deliveries(machine, "webhook") if row["attempts"]], machine.keeper_log, 60)
    assert delivered(machine, "webhook") == []
    receiver.status = 200
    wait_for(lambda: delivered(machine, "webhook"), machine.keeper_log, 60)
    ids = {headers["X-AIPlatform-Notification"] for _, headers, _ in receiver.requests}
    assert len(ids) == 1


def test_mail_server_that_hangs_delays_no_other_channel_and_no_task_of_the_keeper(machine, receiver):  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure(machine, email=mails_to(silent.getsockname()[1]), webhook={"url": receiver.url})
        granted(machine, 5)
        keeper = machine.start_keeper()
        silent.settimeout(60)
        hanging, _ = silent.accept()  # its greeting never comes
        wait_for(lambda: delivered(machine, "webhook") and delivered(machine, "page"), machine.keeper_log, 60)
        session = machine.start(6, "", 1)
        machine.stop(session)
        wait_for(lambda: not machine.find(session.id).is_open, "the keeper settles an end meanwhile")
        granted(machine, 7, taken=(2, 1))
        wait_for(lambda: len(delivered(machine, "webhook")) == 2, "another notice is posted meanwhile", 60)
        assert delivered(machine, "email") == []
        began = time.monotonic()
        keeper.terminate()
        assert keeper.wait(30) == 0
        assert time.monotonic() - began < 20, "its end waits for no mail server"
        hanging.close()


@pytest.mark.parametrize("notifiers", ['{"pigeon": {}}', '{"email": {"host": "x", "from": "a@b.example", "prot": 25}}'])
def test_keeper_does_not_start_with_a_wrong_notifier(machine, notifiers):
    machine.settings = replace(machine.settings, notifiers=notifiers)
    keeper = machine.start_keeper()
    assert keeper.wait(60) == 2
    log = machine.keeper_log()
    assert "keeper: c.AIPlatform.notifiers" in log
    assert "Traceback" not in log
    assert os.environ["AIPLATFORM_NOTIFIER_WEBHOOK_SECRET"] not in log
