"""Chargeback and the choice of the monthly mail, over REST, pages and commands: over a made month and a stand-in for the hub."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner

from aiplatform_hub.cli.main import main
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.chargeback import NUMBERS
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from tests.operations.test_cost_reporter import random_interval, store
from tests.support.page_server import ADMIN, PageServer, page_server

LEAD = "lea"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("chargeback")
    catalog = folder / "catalog"
    catalog.mkdir()
    (catalog / "projects.yaml").write_text(f"vision: {{display_name: Vision, cost_centre: personal, leads: [{LEAD}]}}\n")
    url = f"sqlite:///{folder / 'platform.sqlite'}"
    upgrade(url)
    settings = Settings(data_dir=folder, database_url=url, catalog_dirs=(catalog,))
    factory = Factory(settings)
    factory.enforcer.register_devices([GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number) for number in range(4)], 64 * GIB, 8)
    now = factory.clock()
    base = replace(random_interval(random.Random(1), 1), gpus=1, gpu_type="h100", end_cause=None, estimated=False, project="vision", cost_centre="personal")
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    span = (now - start) / 2
    rows = [replace(base, id=UUID(int=n), allocation_id=UUID(int=n), started_at=start, ended_at=start + max(span, timedelta(seconds=1))) for n in (1, 2)]
    store(factory.database, rows)
    with page_server(settings, factory) as server:
        yield server
    factory.close()


def month(server: PageServer) -> str:
    return f"{server.factory.clock():%Y-%m}"


def run(server: PageServer, *words: str, who: str = ADMIN):
    found = CliRunner().invoke(main, [*words, "--url", f"http://127.0.0.1:{server.port}/", "--token", who])
    while not server.spent.empty():
        server.spent.get()
    return found


def test_rest_csv_page_and_command_say_the_same(server: PageServer) -> None:
    name = month(server)
    said = json.loads(server.get(f"api/v1/reports/chargeback?month={name}", ADMIN).body)
    row = next(row for row in said["rows"] if row["cost_centre"] == "personal")
    assert said["gpu_types"][0]["gpu_type"] == "h100"
    (line, *_) = csv.DictReader(io.StringIO(server.get(f"api/v1/reports/chargeback?month={name}&format=csv", ADMIN).body))
    assert [line[each] for each in NUMBERS] == [row[each] for each in NUMBERS]
    (line, *_) = csv.DictReader(io.StringIO(server.get(f"admin/chargeback.csv?month={name}", ADMIN).body))
    assert [line[each] for each in NUMBERS] == [row[each] for each in NUMBERS]
    assert json.loads(run(server, "chargeback", "--month", name, "--json").output)["rows"][0]["total"] == row["total"]
    total = f"{float(row['total']):,.2f}"
    assert total in server.get(f"admin/chargeback?month={name}", ADMIN).body
    table = run(server, "chargeback", "--month", name).output
    assert total.replace(",", "") in table
    assert "unallocated: none" in table


def test_a_command_writes_the_file(server: PageServer, tmp_path: Path) -> None:
    file = tmp_path / "back.csv"
    assert run(server, "chargeback", "--month", month(server), "-o", str(file)).exit_code == 0
    assert file.read_bytes().startswith(b"month,cost_centre,currency,used_gpu_hours,")


def test_nobody_but_admins_sees_it(server: PageServer) -> None:
    assert server.get("api/v1/reports/chargeback", "user1").status == 403
    assert [server.get(page, "user1").status for page in ("admin/chargeback", "admin/chargeback.csv")] == [404, 404]
    assert run(server, "chargeback", who="user1").exit_code == 1


def test_a_month_that_is_none_is_named(server: PageServer) -> None:
    for month_, words in (("2026-13", "is no month"), ("9998-01", "has not begun yet"), ("<b>", "is no month")):
        answer = server.get(f"api/v1/reports/chargeback?month={month_}", ADMIN)
        assert (answer.status, json.loads(answer.body)["reasons"][0]["field"]) == (400, "month")
        page = server.get(f"admin/chargeback?month={month_}", ADMIN)
        assert page.status == 400
        assert words in page.body
        assert "<b>" not in page.body
    assert server.get("api/v1/reports/chargeback?format=pdf", ADMIN).status == 400


def test_last_month_is_shown_first_and_may_be_empty(server: PageServer) -> None:
    page = server.get("admin/chargeback", ADMIN)
    assert page.status == 200
    assert "Nothing was charged in this month." in page.body
    assert "It is not known how many GPUs there were" in page.body


def test_a_lead_switches_the_mail_off_and_on(server: PageServer) -> None:
    said = json.loads(server.get("api/v1/showback", LEAD).body)
    assert said == {"is_lead": True, "is_wanted": True}
    assert run(server, "showback", "off", who=LEAD).output == "The monthly mail is off.\n"
    assert json.loads(server.get("api/v1/showback", LEAD).body)["is_wanted"] is False
    assert 'value="on"' in server.get("settings", LEAD).body
    assert run(server, "showback", "on", who=LEAD).output == "The monthly mail is on.\n"
    assert "You lead no project" in run(server, "showback", who="user1").output
    assert "Your projects each month" not in server.get("settings", "user1").body
