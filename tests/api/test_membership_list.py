"""``GET memberships`` is paged, and the command follows its pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from click.testing import CliRunner

from aiplatform_hub.cli.main import main
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.memberships import Membership
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.memberships import MembershipStore
from aiplatform_hub.storage.migrate import upgrade
from tests.support.page_server import ADMIN, PageServer, page_server

MANY = 205
"""More than fit on one page, however large."""
LIST = "api/v1/memberships"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("members"))
    upgrade(settings.resolved_database_url)
    factory = Factory(settings)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    with factory.database.write() as connection:
        for number in range(MANY):
            made = Membership(uuid4(), f"user{number:03}", "vision", began, None, "a term", ADMIN, began)
            MembershipStore().insert(connection, made)
    with page_server(settings, factory) as started:
        yield started
    factory.close()


def page(server: PageServer, query: str = "", who: str = ADMIN) -> tuple[list[str], str | None]:
    """Return whose memberships are on a page, and where the next one begins."""
    answer = server.get(f"{LIST}?{query}", who)
    assert answer.status == 200, answer.body
    found = json.loads(answer.body)
    return [one["user"] for one in found["items"]], found["next_cursor"]


def test_pages_lead_through_the_whole_list_once(server: PageServer) -> None:
    everybody, cursor = page(server, "limit=100")
    while cursor is not None:
        more, cursor = page(server, f"limit=100&cursor={cursor}")
        everybody += more
    assert everybody == [f"user{number:03}" for number in range(MANY)]
    assert page(server, f"limit=5&cursor={MANY - 5}")[1] is None
    assert len(page(server)[0]) < MANY, "who asks for no limit gets a page too"


def test_others_are_on_nobodys_page(server: PageServer) -> None:
    assert page(server, "user=user001", who="user007") == (["user007"], None)
    assert page(server, "user=user001") == (["user001"], None)
    assert page(server, "project=nothing") == ([], None)


@pytest.mark.parametrize("query", ["limit=0", "limit=100000", "limit=x", "cursor=-1", "cursor=x", "cursor=%D9%A3", "cursor=99999999999999999999"])
def test_pages_that_cannot_be_are_refused(server: PageServer, query: str) -> None:
    answer = server.get(f"{LIST}?{query}", ADMIN)
    assert (answer.status, json.loads(answer.body)["reasons"][0]["field"]) == (400, query.partition("=")[0]), answer.body


def test_command_lists_every_page(server: PageServer) -> None:
    done = CliRunner().invoke(main, ["memberships", "list", "--json", "--url", f"http://127.0.0.1:{server.port}/", "--token", ADMIN])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)) == MANY
