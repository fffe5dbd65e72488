"""Reports over REST and from the page: files, of those whom the caller may see."""

from __future__ import annotations

import csv
import io

import pytest
from click.testing import CliRunner

from aiplatform_hub.cli.main import main
from aiplatform_hub.domain.report_spans import bucket_key
from aiplatform_hub.factory import Factory
from aiplatform_hub.reports.formats import FORMATS
from tests.api.place import PREFIX
from tests.api.test_rights import Visitor
from tests.support.hub import ADMIN


@pytest.fixture(scope="module")
def month(place):
    """The month in which two people's sessions ended, each with one GPU."""
    for user in ("user1", "user2"):
        found = place.launch(user, "reported", gpus=1).json()
        place.wait_ready(user, found["id"])
    place.stop_everything()
    factory = Factory(place.hub.settings)
    name = bucket_key(factory.clock().date(), "month")
    factory.close()
    return name


def report(place, month, who=ADMIN, **params):
    return place.call("GET", "reports", user=who, params={"month": month, "format": "csv", "group_by": "user", **params})


def users(answer) -> set[str]:
    return {row["user"] for row in csv.DictReader(io.StringIO(answer.text))}


def test_every_format_is_a_file(place, month):
    for name, format_ in FORMATS.items():
        params = {} if format_.write is None or format_.forbidden_groups else {"group_by": "user,month"}
        answer = place.call("GET", "reports", user=ADMIN, params={"month": month, "format": name, **params})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, format_.media_type)
        assert answer.headers["Content-Disposition"].endswith(f'.{format_.ending}"')
        assert answer.content


def test_people_get_their_own_and_admins_everybodys(place, month):
    assert users(report(place, month)) >= {"user1", "user2"}
    assert users(report(place, month, who="user1")) == {"user1"}
    assert report(place, month, who="user1", user="user2").status_code == 404


def test_the_command_writes_the_same(place, month):
    sent = report(place, month, group_by="user,environment_template").text
    options = ["--month", month, "--group-by", "user,environment_template", "--data-dir", str(place.hub.settings.data_dir)]
    found = CliRunner().invoke(main, ["report", *options]).stdout_bytes.decode()
    assert without_completeness(found) == without_completeness(sent)
    assert len(sent.splitlines()) > 2


def without_completeness(text: str) -> list[str]:
    """Lines without their last cell, which in a month that still runs is now."""
    return [line.rpartition(",")[0] for line in text.splitlines()]


def test_a_wrong_question_is_a_problem_and_no_file(place, month):
    for params, field in (
        ({"format": "pdf"}, "format"),
        ({"month": "2026-13"}, "month"),
        ({"group_by": "allocation"}, "group_by"),
        ({"to": "2026-01-01"}, "month"),
    ):
        answer = report(place, **{"month": month, **params})
        assert (answer.status_code, answer.headers["Content-Type"], answer.json()["reasons"][0]["field"]) == (400, "application/problem+json", field)


def test_the_page_offers_each_format(place, month):
    visitor = Visitor(place, "user1")
    page = visitor.session.get(f"{place.hub.url}{PREFIX}usage?group_by=project", timeout=30).text
    for name in FORMATS:
        assert f"usage/report?period=month&amp;group_by=project&amp;format={name}" in page
    answer = visitor.session.get(f"{place.hub.url}{PREFIX}usage/report?group_by=project&format=xlsx", timeout=30)
    assert (answer.status_code, answer.content[:2]) == (200, b"PK")
