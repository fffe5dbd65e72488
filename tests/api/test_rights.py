"""Every route against every kind of caller, and what a refused one leaves behind."""

from __future__ import annotations

import pytest
import requests

from aiplatform_hub.services.platform.api.resources import ROUTES
from tests.api.place import API, MONITOR_TOKEN, PREFIX, STRANGER_TOKEN
from tests.support.hub import ADMIN, PASSWORD, wait_for

BODY = {"environment_template": "trivial", "user": "user2"}
DESK_BODIES = {"stop": {"message": "maintenance"}, "move-up": {"reason": "an exam"}, "drains": {"kind": "gpu", "target": "none", "reason": "a fan"}}
CALLERS = ("anonymous", "wrong", "stranger", "read_only", "owner", "other", "admin", "service")
VIEWER = "user8"
"""Member of the group whose members are billing viewers; nobody else's rights are like theirs."""

# Route: status by caller. `owner` is user2, whose session and quota are asked about.
READ_ALL = {"anonymous": 401, "wrong": 401, "stranger": 403, "read_only": 200, "owner": 200, "other": 200, "admin": 200, "service": 200}
READ_ONE = {**READ_ALL, "other": 404}
OWN_ONLY = {**dict.fromkeys(READ_ONE, 404), "anonymous": 401, "wrong": 401, "stranger": 403, "read_only": 403, "service": 403}
"""What nobody has who asks."""
ADMIN_ONLY = {**dict.fromkeys(CALLERS, 403), "anonymous": 401, "wrong": 401, "admin": 200}
TABLE = {
    ("GET", "api/v1/catalog"): READ_ALL,
    ("GET", "api/v1/capacity"): READ_ALL,
    ("GET", "api/v1/users/{user}/quota"): READ_ONE,
    ("POST", "api/v1/decisions"): {**READ_ONE, "read_only": 403, "service": 403},
    ("GET", "api/v1/allocations"): READ_ALL,
    ("POST", "api/v1/allocations"): {**READ_ONE, "read_only": 403, "service": 403, "owner": 201, "admin": 201},
    ("GET", "api/v1/allocations/{id}"): READ_ONE,
    ("DELETE", "api/v1/allocations/{id}"): {**READ_ONE, "read_only": 403, "service": 403, "owner": 204, "admin": 204},
    ("PATCH", "api/v1/allocations/{id}"): {**READ_ONE, "read_only": 403, "service": 403, "owner": 409, "admin": 409},  # it is over
    ("POST", "api/v1/allocations/{id}/confirm"): {**READ_ONE, "read_only": 403, "service": 403, "owner": 409, "admin": 409},
    ("POST", "api/v1/allocations/{id}/extend"): {**READ_ONE, "read_only": 403, "service": 403, "owner": 409, "admin": 409},
    ("POST", "api/v1/allocations/{id}/stop"): {**READ_ONE, "read_only": 403, "service": 403, "owner": 204, "admin": 204},
    ("POST", "api/v1/allocations/{id}/move-up"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 409},
    ("DELETE", "api/v1/allocations/{id}/move-up"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 409},
    ("GET", "api/v1/drains"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403)},
    ("POST", "api/v1/drains"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 400},
    ("DELETE", "api/v1/drains/{id}"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 404},
    ("GET", "api/v1/queue"): READ_ALL,
    ("GET", "api/v1/notifications"): READ_ALL,
    ("POST", "api/v1/notifications/{id}/dismiss"): OWN_ONLY,
    ("GET", "api/v1/presets"): READ_ALL,
    ("POST", "api/v1/presets"): {**OWN_ONLY, "owner": 400, "other": 400, "admin": 400},  # each their own; the body lacks a name
    ("DELETE", "api/v1/presets/{id}"): OWN_ONLY,
    ("POST", "api/v1/presets/{id}/restore"): OWN_ONLY,
    ("GET", "api/v1/push"): READ_ALL,
    ("POST", "api/v1/push/subscriptions"): {**dict.fromkeys(READ_ONE, 400), "anonymous": 401, "wrong": 401, "stranger": 403, "read_only": 403, "service": 403},
    ("DELETE", "api/v1/push/subscriptions/{id}"): {
        **dict.fromkeys(READ_ONE, 404),
        "anonymous": 401,
        "wrong": 401,
        "stranger": 403,
        "read_only": 403,
        "service": 403,
    },
    ("PUT", "api/v1/allocations/{id}/hidden"): {**READ_ONE, "read_only": 403, "service": 403, "owner": 204, "admin": 404},
    ("DELETE", "api/v1/allocations/{id}/hidden"): {**READ_ONE, "read_only": 403, "service": 403, "owner": 204, "admin": 404},
    ("GET", "api/v1/allocations/{id}/series"): READ_ONE,
    ("GET", "api/v1/allocations/{id}/moves"): READ_ONE,
    ("POST", "api/v1/allocations/{id}/move"): {**ADMIN_ONLY, "admin": 400},  # the body lacks a project
    ("GET", "api/v1/memberships"): READ_ALL,
    ("POST", "api/v1/memberships"): {**ADMIN_ONLY, "admin": 400},
    ("DELETE", "api/v1/memberships/{id}"): {**ADMIN_ONLY, "admin": 404},
    ("GET", "api/v1/announcements"): READ_ALL,
    ("POST", "api/v1/announcements"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 400},
    ("DELETE", "api/v1/announcements/{number}"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 404},
    ("POST", "api/v1/announcements/{number}/restore"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 404},
    ("GET", "api/v1/budgets"): READ_ALL,
    ("POST", "api/v1/budgets"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 400},
    ("DELETE", "api/v1/budgets/{id}"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 404},
    ("GET", "api/v1/credits"): READ_ALL,
    ("POST", "api/v1/credits"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 400},
    ("DELETE", "api/v1/credits/{id}"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 404},
    ("GET", "api/v1/reports"): READ_ALL,
    ("GET", "api/v1/reports/chargeback"): ADMIN_ONLY,
    ("GET", "api/v1/showback"): READ_ALL,
    ("PUT", "api/v1/showback"): {**OWN_ONLY, "owner": 400, "other": 400, "admin": 400},  # each their own; the body is another's
    **{("GET", f"api/v1/invoices{more}"): ADMIN_ONLY for more in ("", ".csv")},
    **{("GET", f"api/v1/invoices/{{id}}{more}"): {**ADMIN_ONLY, "admin": 404} for more in ("", "/hand-overs")},
    ("GET", "api/v1/invoices/{id}/document"): {**ADMIN_ONLY, "admin": 404},
    ("POST", "api/v1/invoices"): {**ADMIN_ONLY, "admin": 400},
    ("DELETE", "api/v1/invoices/{id}"): {**ADMIN_ONLY, "admin": 404},
    ("POST", "api/v1/invoices/{id}/issue"): {**ADMIN_ONLY, "admin": 404},
    **{("POST", f"api/v1/invoices/{{id}}/{act}"): {**ADMIN_ONLY, "admin": 400} for act in ("payment", "credit")},
    ("GET", "api/v1/disputes"): ADMIN_ONLY,
    ("GET", "api/v1/disputes/{id}"): {**ADMIN_ONLY, "admin": 404},
    **{("GET", f"api/v1/invoices/{{id}}/lines/{{number}}/sessions{more}"): {**ADMIN_ONLY, "admin": 404} for more in ("", "/{allocation}")},
    ("POST", "api/v1/invoices/{id}/lines/{number}/disputes"): {**ADMIN_ONLY, "admin": 403},
    **{("POST", f"api/v1/disputes/{{id}}/{act}"): {**ADMIN_ONLY, "admin": 403} for act in ("reply", "withdraw")},
    ("POST", "api/v1/disputes/{id}/answer"): {**ADMIN_ONLY, "admin": 400},
    ("GET", "api/v1/policy"): READ_ALL,
    ("GET", "api/v1/rate-cards"): READ_ALL,
    **{
        (method, f"api/v1/rate-cards{path}"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403), "admin": 400}
        for method, path in (("POST", ""), ("POST", "/check"), ("PUT", "/{version}"), ("DELETE", "/{version}"))
    },
    ("PUT", "api/v1/policy"): {**READ_ALL, **dict.fromkeys(("read_only", "owner", "other", "service"), 403)},
    ("GET", "api/v1/allocations/{id}/decision"): READ_ONE,
    ("GET", "api/v1/allocations/{id}/alternatives"): READ_ONE,
    **{("GET", f"api/v1/{name}"): ADMIN_ONLY for name in ("people", "projects", "efficiency", "policy/forecast", "health", "audit", "catalog/entries")},
    ("POST", "api/v1/policy/forecast"): {**ADMIN_ONLY, "admin": 202},
    ("GET", "api/v1/users/{user}/grants"): READ_ONE,
    ("GET", "api/v1/limit-grants"): ADMIN_ONLY,
    ("POST", "api/v1/limit-grants"): {**ADMIN_ONLY, "admin": 400},
    ("DELETE", "api/v1/limit-grants/{id}"): {**ADMIN_ONLY, "admin": 404},
    ("POST", "api/v1/limit-grants/{id}/restore"): {**ADMIN_ONLY, "admin": 404},
    ("POST", "api/v1/users/{user}/grants"): {**ADMIN_ONLY, "admin": 400},
    ("DELETE", "api/v1/users/{user}/grants/{id}"): {**ADMIN_ONLY, "admin": 404},
    ("POST", "api/v1/users/{user}/grants/{id}/restore"): {**ADMIN_ONLY, "admin": 404},
    ("GET", "api/v1/usage"): READ_ALL,
    ("GET", "api/v1/costs"): READ_ALL,
    ("GET", "api/v1/events"): READ_ALL,
    ("GET", "api/v1/openapi.json"): dict.fromkeys(CALLERS, 200),
    ("GET", "metrics"): {**dict.fromkeys(CALLERS, 403), "anonymous": 401, "wrong": 401, "admin": 200, "service": 200},
}
VIEWERS = {
    **{("GET", f"api/v1/{name}"): 200 for name in ("invoices", "invoices.csv", "disputes", "reports/chargeback")},
    **{("GET", f"api/v1/invoices/{{id}}{more}"): 404 for more in ("", "/hand-overs", "/lines/{number}/sessions", "/lines/{number}/sessions/{allocation}")},
    ("GET", "api/v1/invoices/{id}/document"): 404,
    ("GET", "api/v1/disputes/{id}"): 404,
    ("POST", "api/v1/invoices/{id}/lines/{number}/disputes"): 400,
    **{("POST", f"api/v1/disputes/{{id}}/{act}"): 400 for act in ("reply", "withdraw")},
}
"""Where a billing viewer gets something else than any other person: what is billed is there for them, and what they change is disputes."""


@pytest.fixture(scope="module")
def ended(place):
    """An allocation of user2 that is over."""
    held = place.launch("user2", "rights").json()
    place.wait_ready("user2", held["id"])
    place.call("DELETE", f"allocations/{held['id']}", user="user2")
    place.wait_state("user2", held["id"], "ended")
    return held["id"]


def token_of(place, caller: str) -> str | None:
    match caller:
        case "anonymous":
            return None
        case "wrong":
            return "0" * 32
        case "stranger":
            return STRANGER_TOKEN
        case "service":
            return MONITOR_TOKEN
        case "read_only":
            return place.token("user2", "read:servers!user=user2", "access:services!service=platform")
    return place.hub.tokens[{"owner": "user2", "other": "user3", "viewer": VIEWER, "admin": ADMIN}[caller]]


def test_the_table_has_every_route():
    assert set(TABLE) == {(route.method, route.path) for route in ROUTES}


def expected(method, path, caller: str) -> int:
    rights = TABLE[method, path]
    return VIEWERS.get((method, path), rights["other"]) if caller == "viewer" else rights[caller]


@pytest.mark.parametrize("caller", (*CALLERS, "viewer"))
@pytest.mark.parametrize(("method", "path"), sorted(TABLE), ids=lambda value: value)
def test_each_route_answers_each_caller_as_the_table_says(place, ended, method, path, caller):
    address = place.hub.url + PREFIX + path.replace("{user}", "user2").replace("{id}", ended).replace("{number}", "999").replace("{allocation}", ended)
    token = token_of(place, caller)
    headers = {} if token is None else {"Authorization": f"token {token}"}
    bodies = {
        "POST": {**BODY, "server_name": f"t-{caller}"[:30].replace("_", "-")}
        if path.endswith("allocations")
        else DESK_BODIES.get(path.rsplit("/", 1)[-1], BODY),
        "PATCH": {"gpus": 1},
        "PUT": {"document": ""},
    }
    with requests.request(method, address, headers=headers, timeout=30, stream=True, json=bodies.get(method)) as answer:
        assert answer.status_code == expected(method, path, caller), answer.text if "events" not in path else ""
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
            problem = answer.json()
            assert problem["status"] == answer.status_code
            assert {"type", "title", "detail", "code", "reasons"} <= set(problem)
        if answer.status_code == 401:
            assert "WWW-Authenticate" in answer.headers
        if answer.status_code == 403:
            assert "scope" in answer.json()["detail"]


def test_a_start_by_an_admin_is_the_owners_and_audited(place):
    answer = place.call("POST", "allocations", user=ADMIN, json={**BODY, "server_name": "by-admin"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["user"] == "user2"
    wait_for(
        lambda: [e for e in place.audit() if e.action == "launch_session" and e.actor == ADMIN and answer.json()["id"] in e.target], "the launch is audited"
    )
    place.wait_ready(ADMIN, answer.json()["id"])
    stopped = place.call("DELETE", f"allocations/{answer.json()['id']}", user=ADMIN)
    assert stopped.status_code == 202, stopped.text
    assert place.wait_state("user2", answer.json()["id"], "ended")["end_cause"] == "stopped_by_admin"
    assert [e for e in place.audit() if e.action == "stop_session" and e.actor == ADMIN]


def test_refused_acts_are_audited(place, ended):
    place.call("DELETE", f"allocations/{ended}", user="user3")
    place.call("POST", "allocations", token=token_of(place, "read_only"), json=BODY)
    place.call("GET", "capacity", token="0" * 32)
    wait_for(
        lambda: {e.detail.get("code") for e in place.audit() if e.outcome == "refused"} >= {"not_found", "insufficient_scope", "unauthenticated"}, "three rows"
    )


def test_a_list_shows_only_ones_own(place, ended):
    mine = place.call("GET", "allocations", user="user3").json()["items"]
    assert {entry["user"] for entry in mine} <= {"user3"}
    assert place.call("GET", "allocations", user="user3", params={"user": "user2"}).status_code == 404
    assert {entry["user"] for entry in place.call("GET", "allocations", user=ADMIN).json()["items"]} >= {"user2"}


def test_a_token_for_one_server_sees_only_that_one(place, ended):
    token = place.token("user2", "read:servers!server=user2/rights")
    assert place.call("GET", f"allocations/{ended}", token=token).status_code == 200
    other = place.launch("user2", "unseen").json()["id"]
    assert place.call("GET", f"allocations/{other}", token=token).status_code == 404
    assert {entry["server_name"] for entry in place.call("GET", "allocations", token=token).json()["items"]} == {"rights"}


class Visitor:
    """A browser that went through the login of the platform's pages."""

    def __init__(self, place, user: str) -> None:
        self.place = place
        self.session = requests.Session()
        self.session.get(f"{place.hub.url}/hub/login", timeout=10)
        form = {"username": user, "password": PASSWORD, "_xsrf": self.cookie("_xsrf", "/hub/")}
        self.session.post(f"{place.hub.url}/hub/login", data=form, timeout=30)
        page = self.session.get(f"{place.hub.url}{PREFIX}home", timeout=30)
        assert page.url.endswith(f"{PREFIX}home"), page.url
        assert page.status_code == 200, page.text
        self.xsrf = self.cookie("_xsrf", PREFIX)

    def cookie(self, name: str, path: str) -> str:
        return next(c.value for c in self.session.cookies if c.name == name and c.path == path)

    def call(self, method: str, path: str, **kwargs):
        return self.session.request(method, self.place.hub.url + API + path, timeout=30, allow_redirects=False, **kwargs)


@pytest.fixture(scope="module")
def visitor(place):
    return Visitor(place, "user4")


def test_a_billing_viewer_who_logged_in_sees_billing_and_a_student_does_not(place, visitor):
    """Pages act with what the hub gives their login: the role of the group is among it."""
    viewer = Visitor(place, VIEWER)
    page = viewer.session.get(f"{place.hub.url}{PREFIX}billing", timeout=30)
    assert (page.status_code, ">Billing</h1>" in page.text) == (200, True), page.text[:2000]
    form = {"_xsrf": viewer.xsrf, "text": "Twice?"}
    nowhere = f"{place.hub.url}{PREFIX}billing/invoices/{'0' * 8}-0000-0000-0000-{'0' * 12}/lines/1/disputes"
    assert viewer.session.post(nowhere, data=form, timeout=30).status_code == 404, "they may, and there is no such invoice"
    assert ">Billing</a>" in viewer.session.get(f"{place.hub.url}/hub/token", timeout=30).text, "the hub's own pages lead there too"
    answer = visitor.session.get(f"{place.hub.url}{PREFIX}billing", timeout=30)
    assert (answer.status_code, ">Billing<" in answer.text) == (404, False)
    refused = visitor.session.post(nowhere, data={**form, "_xsrf": visitor.xsrf}, timeout=30)
    assert refused.status_code == 404
    wait_for(lambda: any((e.outcome, e.actor, e.target) == ("refused", "user4", nowhere.removeprefix(place.hub.url)) for e in place.audit()), "it is audited")


FETCH = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


def test_a_page_of_ours_calls_with_cookie_and_xsrf_token(visitor):
    assert visitor.call("GET", "capacity", headers={**FETCH, "X-Xsrftoken": visitor.xsrf}).status_code == 200
    assert visitor.call("POST", "decisions", json={"environment_template": "trivial"}, headers={**FETCH, "X-Xsrftoken": visitor.xsrf}).status_code == 200
    assert visitor.call("GET", "capacity", headers=FETCH, params={"_xsrf": visitor.xsrf}).status_code == 200


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", FETCH),
        ("GET", FETCH),
        ("POST", {}),
        ("POST", {**FETCH, "X-Xsrftoken": "wrong"}),
        ("GET", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"}),
        ("GET", {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}),
        ("GET", {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-site"}),
    ],
)
def test_a_cookie_without_xsrf_token_or_from_another_site_is_refused(visitor, method, headers):
    path = "allocations"
    body = {"json": {"environment_template": "trivial", "server_name": "forged"}} if method == "POST" else {}
    answer = visitor.call(method, path, headers=headers, **body)
    assert answer.status_code == 403, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not [a for a in visitor.place.hub.allocations_of("user4") if a.server_name == "forged"]


def test_another_site_with_a_stolen_xsrf_token_is_refused(visitor):
    headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site", "X-Xsrftoken": visitor.xsrf, "Origin": "https://evil.example"}
    assert visitor.call("POST", "allocations", json={"environment_template": "trivial"}, headers=headers).status_code == 403


def test_the_api_never_redirects_to_a_login(place):
    answer = requests.get(f"{place.url}capacity", allow_redirects=False, timeout=10)
    assert answer.status_code == 401
    page = requests.get(f"{place.hub.url}{PREFIX}home", allow_redirects=False, timeout=10)
    assert page.status_code == 302
    assert "/hub/api/oauth2/authorize" in page.headers["Location"]


@pytest.mark.parametrize(
    "path",
    [
        "admin/stop",
        "admin/extend",
        "admin/move",
        "admin/move/undo",
        "admin/drain",
        "admin/drain/undo",
        "admin/announcements",
        "admin/prices",
        "admin/prices/withdraw",
        "admin/budgets",
        "admin/budgets/end",
        "admin/credits",
        "admin/credits/00000000-0000-0000-0000-000000000001/end",
        "admin/efficiency/forecast",
        "admin/people/user2/grants",
        "admin/people/user2/limits",
        "admin/projects/members",
    ],
)
def test_a_token_of_an_admin_that_reads_does_nothing_on_their_pages(place, path):
    """Pages take tokens as the REST API does; each act asks for the scope to stop servers, and leaves a row where it is refused."""
    read_only = place.token(ADMIN, "list:users", "read:users", "read:servers", "access:services!service=platform")
    headers = {"Authorization": f"Bearer {read_only}"}
    assert requests.get(f"{place.hub.url}{PREFIX}admin", headers=headers, timeout=30).status_code == 200
    answer = requests.post(f"{place.hub.url}{PREFIX}{path}", headers=headers, data={"id": "none"}, timeout=30, allow_redirects=False)
    assert (answer.status_code, "delete:servers" in answer.text) == (403, True), answer.text[:500]
    wait_for(lambda: any((e.outcome, e.actor, e.target) == ("refused", ADMIN, f"{PREFIX}{path}") for e in place.audit()), "the refusal is audited")
