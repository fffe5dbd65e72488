"""Every answer of platform and hub has its headers: pages, data, files, redirects, refusals."""

from __future__ import annotations

import re

import pytest
import requests

from tests.api.place import PREFIX
from tests.api.test_rights import Visitor

ADDRESSES = (
    ("GET", PREFIX, 302),
    ("GET", f"{PREFIX}home", 200),
    ("GET", f"{PREFIX}launch", 200),
    ("GET", f"{PREFIX}usage/report", 200),
    ("GET", f"{PREFIX}admin", 404),
    ("GET", f"{PREFIX}sessions/00000000-0000-0000-0000-000000000000", 404),
    ("POST", f"{PREFIX}launch", 403),
    ("GET", f"{PREFIX}static/aiplatform.css", 200),
    ("GET", f"{PREFIX}static/no-such-file.css", 404),
    ("GET", f"{PREFIX}no-such-page", 404),
    ("GET", f"{PREFIX}oauth_callback", 400),
    ("GET", f"{PREFIX}api/v1/openapi.json", 200),
    ("GET", f"{PREFIX}api/v1/allocations", 200),
    ("POST", f"{PREFIX}api/v1/allocations", 403),
    ("TRACE", f"{PREFIX}api/v1/allocations", 405),
    ("GET", "/hub/token", 200),
    ("GET", "/hub/spawn", 200),
    ("GET", "/hub/no-such-page", 404),
    ("GET", "/hub/user/user4/nothing/", 424),
    ("GET", "/hub/static/favicon.ico", 200),
    ("GET", "/hub/static/no-such-file.js", 404),
    ("GET", "/hub/logo", 200),
    ("GET", "/hub/api/", 200),
    ("GET", "/hub/", 302),
)
UNSAFE = re.compile(r"'unsafe-(inline|eval|hashes)'|\*|https?:")


@pytest.fixture(scope="module")
def visitor(place):
    return Visitor(place, "user4")


@pytest.mark.parametrize(("method", "path", "status"), ADDRESSES)
def test_answer_has_its_headers(place, visitor, method, path, status):
    answer = visitor.session.request(method, f"{place.hub.url}{path}", timeout=30, allow_redirects=False)
    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not UNSAFE.search(policy.replace("style-src-attr 'unsafe-inline'", "")), "style attributes alone, in the hub's stock pages"
    if path.startswith(PREFIX):
        assert "unsafe" not in policy
        assert "nonce" not in policy


def test_each_script_in_a_hub_page_has_the_nonce_of_its_answer(place, visitor):
    nonces = []
    for _ in range(2):
        answer = visitor.session.get(f"{place.hub.url}/hub/token", timeout=30)
        (nonce,) = re.findall(r"script-src 'self' 'nonce-([^']+)'", answer.headers["Content-Security-Policy"])
        tags = re.findall(r"<(?:script|style)\b[^>]*>", answer.text)
        assert len(tags) > 4
        assert all(f'nonce="{nonce}"' in tag for tag in tags)
        nonces.append(nonce)
    assert nonces[0] != nonces[1]


def test_login_page_has_a_policy_too(place):
    answer = requests.get(f"{place.hub.url}/hub/login", timeout=30)
    assert "script-src 'self' 'nonce-" in answer.headers["Content-Security-Policy"]
