"""Rate cards over REST, on Admin's page and on the command line."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from aiplatform_hub.domain.units import isoformat
from tests.support.hub import ADMIN, wait_for

_NUMBERS = count(1)


@pytest.fixture
def document():
    """A card that begins at an instant of its own."""
    begins = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365, hours=next(_NUMBERS))
    return f"effective_from: {isoformat(begins)}\ncurrency: EUR\ncpu_only_hour: '0.05'\ncpu_core_hour: '0.01'\ngpu_hour: {{'*': '2.50'}}\n"


@pytest.fixture
def version(place):
    place.hub.factory.price_list.record_catalogue()
    version = f"v{next(_NUMBERS)}"
    yield version
    place.call("DELETE", f"rate-cards/{version}", user=ADMIN, params={"reason": "The test is over."})


def cards(place, user="user1"):
    return {one["version"]: one for one in place.call("GET", "rate-cards", user=user).json()["items"] if one["withdrawn_at"] is None}


def test_admin_adds_changes_and_withdraws_and_everybody_reads(place, document, version):
    checked = place.call("POST", "rate-cards/check", user=ADMIN, json={"version": version, "document": document})
    assert checked.status_code == 200, checked.text
    assert [sample["per_hour"] for sample in checked.json()["samples"]], "what sessions would cost under it"
    assert version not in cards(place)
    answer = place.call("POST", "rate-cards", user=ADMIN, json={"version": version, "document": document, "reason": "new"})
    assert answer.status_code == 201, answer.text
    told = cards(place)[version]
    assert (told["recorded_by"], told["reason"], told["cpu_only_hour"], told["effective_until"]) == (ADMIN, "new", "0.05", None)
    body = {"document": document.replace("0.05", "0.06"), "reason": "dearer"}
    assert place.call("PUT", f"rate-cards/{version}", user=ADMIN, json=body).json()["cpu_only_hour"] == "0.06"
    gone = place.call("DELETE", f"rate-cards/{version}", user=ADMIN, params={"reason": "a mistake"})
    assert gone.json()["withdrawn_at"]
    assert version not in cards(place)
    done = [event.action for event in place.audit() if event.target == f"rate_card:{version}"]
    assert done == ["withdraw_rate_card", "change_rate_card", "add_rate_card"]


def test_wrong_card_and_past_card_are_refused_with_all_that_is_wrong(place, document, version):
    wrong = document.replace("EUR", "EUX").replace("'2.50'", "'-2.50'")
    answer = place.call("POST", "rate-cards", user=ADMIN, json={"version": version, "document": wrong, "reason": "x"})
    assert answer.status_code == 400
    said = [reason["message"] for reason in answer.json()["reasons"]]
    assert said[0].startswith("document:2: currency: unknown currency EUX")
    assert "-2.50 is negative" in said[1]
    (shipped,) = [one for one in cards(place).values() if one["recorded_by"] is None]
    refused = place.call("DELETE", f"rate-cards/{shipped['version']}", user=ADMIN, params={"reason": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_page_previews_records_and_withdraws_and_keeps_what_was_typed(place, document, version):
    address = f"{place.hub.url}/services/platform/admin/prices"
    session = place.hub.browser(ADMIN).session
    xsrf = re.findall(r'name="xsrf" content="([^"]+)"', session.get(address, timeout=30).text)[0]
    fields = {"_xsrf": xsrf, "version": version, "document": document, "reason": "new"}
    refused = session.post(address, data={**fields, "document": f"{document}cpu_hour: '1' # <b>"}, timeout=30)
    assert refused.status_code == 400
    assert "# &lt;b&gt;" in refused.text, "what was typed stays"
    assert "unknown key cpu_hour" in refused.text
    shown = session.post(address, data={**fields, "do": "preview"}, timeout=30)
    assert "Nothing is recorded yet" in shown.text
    assert version not in cards(place)
    recorded = session.post(address, data=fields, timeout=30)
    assert f"The rate card {version} is recorded." in recorded.text
    assert version in cards(place)
    change = session.get(f"{address}?change={version}", timeout=30).text
    assert f"Change {version}" in change
    session.post(address, data={**fields, "changing": version, "document": document.replace("0.05", "0.06")}, timeout=30)
    assert cards(place)[version]["cpu_only_hour"] == "0.06"
    session.post(f"{address}/withdraw", data={"_xsrf": xsrf, "withdraw": version, "why": "a mistake"}, timeout=30)
    assert version not in cards(place)


def test_page_is_unknown_to_others_and_their_tries_are_in_the_audit_trail(place, document, version):
    address = f"{place.hub.url}/services/platform/admin/prices"
    stranger = place.hub.browser("user1").session
    assert stranger.get(address, timeout=30).status_code == 404
    answer = place.call("POST", "rate-cards", user="user1", json={"version": version, "document": document, "reason": "x"})
    assert answer.status_code == 403
    action = "POST /services/platform/api/v1/rate-cards"
    assert wait_for(lambda: any((e.action, e.actor, e.outcome) == (action, "user1", "refused") for e in place.audit()), "audited")


def test_commands_add_list_show_and_withdraw(place, typed, tmp_path, document, version):
    file = tmp_path / "card.yaml"
    file.write_text(document)
    assert "EUR PER HOUR" in typed("rate-cards", "check", version, str(file), user=ADMIN).stdout
    added = typed("rate-cards", "add", version, str(file), "--reason", "new", user=ADMIN)
    assert added.returncode == 0, added.stderr
    assert version in typed("rate-cards", "list").stdout
    assert json.loads(typed("rate-cards", "show", version, "--json").stdout)["cpu_core_hour"] == "0.01"
    assert typed("rate-cards", "withdraw", version, "--reason", "x").returncode == 1, "not by everybody"
    assert typed("rate-cards", "withdraw", version, "--reason", "x", user=ADMIN).returncode == 0
    file.write_text("effective_from: soon")
    refused = typed("rate-cards", "add", version, str(file), "--reason", "new", user=ADMIN)
    assert refused.returncode == 2
    assert "document:1: effective_from: write an instant with its time zone" in refused.stderr


def test_dry_run_names_every_sku(place):
    price = place.call("POST", "decisions", user="user1", json={"environment_template": "trivial"}).json()["price"]
    assert float(price["per_hour"]) == pytest.approx(sum(float(line["per_hour"]) for line in price["lines"]))
