"""What the Launch and Usage pages say is in the REST API too: terms, contents, weeks."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.api.place import PREFIX
from tests.api.test_rights import Visitor

CHOICE = {"environment_template": "trivial", "gpus": 2, "max_hours": 8}


def test_decision_says_cost_and_how_long_it_may_run(place):
    decision = place.call("POST", "decisions", user="user0", json=CHOICE).json()
    terms = decision["terms"]
    assert Decimal(terms["planned_cost"]) == 8 * Decimal(decision["price"]["per_hour"])
    assert {name: terms[name] for name in ("session_cap_seconds", "session_ceiling_seconds", "idle_after_seconds", "only_while_somebody_waits")} == {
        "session_cap_seconds": 6 * 3600.0,
        "session_ceiling_seconds": 24 * 3600.0,
        "idle_after_seconds": 600.0,
        "only_while_somebody_waits": True,
    }
    without = place.call("POST", "decisions", user="user0", json={"environment_template": "trivial", "gpus": 0}).json()["terms"]
    assert (without["planned_cost"], without["session_cap_seconds"], without["idle_after_seconds"]) == (None, None, None)


def test_catalogue_says_what_is_inside(place):
    templates = {entry["name"]: entry for entry in place.call("GET", "catalog", user="user0").json()["environment_templates"]}
    inside = {package["name"]: package["version"] for package in templates["jupyterlab"]["contents"]}
    assert inside["jupyterlab"]
    assert templates["pytorch"]["logo"] == "flame"


@pytest.mark.parametrize("group", ["week", "month"])
def test_usage_in_weeks_and_months_sums_to_the_whole(place, group):
    held = place.launch("user4", f"by-{group}", gpus=1).json()
    place.wait_ready("user4", held["id"])
    place.call("DELETE", f"allocations/{held['id']}", user="user4")
    place.wait_state("user4", held["id"], "ended")
    report = place.call("GET", "costs", user="user4", params={"group_by": group}).json()
    assert sum(Decimal(row["gpu_seconds"]) for row in report["rows"]) == Decimal(report["totals"][0]["gpu_seconds"]) > 0
    assert all(("-W" in row["keys"][group]) == (group == "week") for row in report["rows"])
    visitor, usage = Visitor(place, "user4"), f"{place.hub.url}{PREFIX}usage"
    header, *lines = visitor.session.get(f"{usage}/report", params={"group_by": group, "format": "csv"}, timeout=30).text.splitlines()
    assert header.startswith(f"{group},currency,gpu_hours,"), header
    assert [line.partition(",")[0] for line in lines] == [row["keys"][group] for row in report["rows"]]
    page = visitor.session.get(usage, params={"group_by": group, "period": "year"}, timeout=30).text
    assert "Compared with" in page
    assert f"per {group}" in page
