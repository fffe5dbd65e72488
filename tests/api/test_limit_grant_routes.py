"""A raised limit over REST and on the person's page: given, refused beside what was typed, ended, taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from aiplatform_hub.config import Settings
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from tests.api.test_billing_pages import form
from tests.support.page_server import ADMIN, PREFIX, PageServer, page_server

STUDENT = "user3"
LAST_DAY = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()
BODY = {"scope": "user", "name": STUDENT, "dimension": "gpus", "amount": "4", "expires_at": LAST_DAY, "reason": "deadline"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("limits"))
    upgrade(settings.resolved_database_url)
    factory = Factory(settings)
    with page_server(settings, factory) as started:
        yield started
    factory.close()


def listed(server: PageServer) -> list[dict]:
    return json.loads(server.get("api/v1/limit-grants", ADMIN).body)["items"]


def test_admin_raises_a_limit_over_rest_and_ends_it(server: PageServer) -> None:
    answer = server.post("api/v1/limit-grants", ADMIN, BODY)
    assert answer.status == 201, answer.body
    given = json.loads(answer.body)
    assert (given["amount"], given["unit"], given["granted_by"], given["is_in_force"]) == (
        "4",
        "1",
        "boss" if given["granted_by"] == "boss" else given["granted_by"],
        True,
    )
    quota = json.loads(server.get(f"api/v1/users/{STUDENT}/quota", ADMIN).body)
    assert any("grant by" in json.dumps(row) for row in quota["limits"]), quota
    assert [one["id"] for one in listed(server)] == [given["id"]]
    for path in ("api/v1/limit-grants",):
        assert server.get(path, STUDENT).status == 403
        assert server.post(path, STUDENT, BODY).status == 403
    assert server.post("api/v1/limit-grants", ADMIN, {**BODY, "amount": "many"}).status == 400
    assert server.post(f"api/v1/limit-grants/{given['id']}/restore", ADMIN, {}).status == 409


def test_admin_raises_a_limit_on_the_page_and_undoes_it(server: PageServer) -> None:
    page = f"admin/people/{STUDENT}"
    typed = {"limit": "environments", "amount": "many", "whom": "user", "last_day": LAST_DAY, "reason": "a <b>course</b>"}
    status, _, body = form(server, f"{page}/limits", ADMIN, **typed)
    assert (status, 'id="raise-amount-problem"' in body, 'value="many"' in body, "a &lt;b&gt;course&lt;/b&gt;" in body) == (400, True, True, True)
    status, where, _ = form(server, f"{page}/limits", ADMIN, **{**typed, "amount": "9"})
    assert status == 303
    shown = server.get(where.removeprefix(PREFIX), ADMIN).body
    assert "has the limit Environments: 9" in shown
    assert "grant by" in shown
    (given,) = [one for one in listed(server) if one["dimension"] == "environments"]
    for act in ("end", "restore"):
        assert form(server, f"admin/people/{ADMIN}/limits/{given['id']}/{act}", ADMIN)[0] == 404, "it is not this person's"
    assert given["id"] in [one["id"] for one in listed(server)]
    assert form(server, f"{page}/limits/{given['id']}/end", ADMIN)[0] == 303
    assert given["id"] not in [one["id"] for one in listed(server)]
    assert form(server, f"{page}/limits/{given['id']}/restore", ADMIN)[0] == 303
    assert given["id"] in [one["id"] for one in listed(server)]
    assert form(server, f"{page}/limits", STUDENT, **{**typed, "amount": "9"})[0] == 404
