"""Headers of every answer, and nonces of scripts that stand in page templates."""

from __future__ import annotations

import re

from jinja2 import DictLoader, Environment
from tornado.httputil import HTTPHeaders

from aiplatform_hub.web.security_headers import ALWAYS, CSP, DATA_POLICY, PAGE_POLICY, NonceExtension, SecurityHeaders, csp_nonce

HUB_POLICY = "frame-ancestors 'none'; report-uri /hub/security/csp-report"
EVIL = "<script>alert(1)</script><style>*{display:none}</style>"


def answer(stated: str = "", *, page: str | None = None) -> tuple[HTTPHeaders, str]:
    """Return headers and text of an answer; ``page`` is the source of the page template that it is made of."""
    transform = SecurityHeaders(None)
    text = ""
    if page is not None:
        environment = Environment(loader=DictLoader({"page.html": page}), autoescape=True, extensions=[NonceExtension])
        text = environment.get_template("page.html").render(value=EVIL, trusted=EVIL)
    headers = HTTPHeaders({CSP: stated} if stated else {})
    _, headers, chunk = transform.transform_first_chunk(200, headers, text.encode(), True)
    return headers, chunk.decode()


def test_every_answer_has_the_headers_and_without_a_page_nothing_runs() -> None:
    headers, _ = answer()
    assert {name: headers[name] for name in ALWAYS} == ALWAYS
    assert headers[CSP] == DATA_POLICY


def test_what_a_handler_states_stays() -> None:
    assert answer(PAGE_POLICY)[0][CSP] == PAGE_POLICY


def test_what_is_no_page_runs_nothing_and_pages_of_other_handlers_keep_their_policy() -> None:
    stated = "frame-ancestors https://lms.example.org"
    assert answer(stated)[0][CSP] == f"{stated}; default-src 'none'; base-uri 'none'"
    headers = HTTPHeaders({CSP: stated, "Content-Type": "text/html; charset=UTF-8"})
    assert SecurityHeaders(None).transform_first_chunk(200, headers, b"<html>", True)[1][CSP] == stated


def test_scripts_of_the_page_template_have_the_nonce_and_those_of_values_have_none() -> None:
    headers, text = answer(HUB_POLICY, page="<style>a{}</style><script src='x'></script><script>1</script>{{ value }}{{ trusted | safe }}")
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', text))
    assert text.count(f'nonce="{nonce}"') == 3
    assert "<script>alert(1)" in text, "as it came, without the nonce"
    assert headers[CSP].startswith(HUB_POLICY)
    assert f"script-src 'self' 'nonce-{nonce}';" in headers[CSP]
    assert "'unsafe-inline'" not in headers[CSP].replace("style-src-attr 'unsafe-inline'", "")


def test_only_the_hubs_admin_page_may_make_styles() -> None:
    source = "<style>a{}</style><script src={{ 'js/admin-react.js' }}></script>"
    policy = answer(HUB_POLICY, page=source)[0][CSP]
    assert "style-src 'self' 'unsafe-inline';" in policy
    assert "script-src 'self' 'nonce-" in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    assert "style-src 'self' 'nonce-" in answer(HUB_POLICY, page="<style></style>")[0][CSP], "the next answer knows nothing of it"


def test_each_answer_has_a_nonce_of_its_own() -> None:
    found = {re.findall(r'nonce="([^"]+)"', answer(HUB_POLICY, page="<script></script>")[1])[0] for _ in range(20)}
    assert len(found) == 20
    assert all(len(nonce) >= 22 for nonce in found), "128 bits and more"


def test_policy_of_the_operators_own_is_left_alone() -> None:
    own = "script-src 'self' https://cdn.example.org"
    assert answer(own, page="<script></script>")[0][CSP] == own


def test_outside_of_an_answer_there_is_no_nonce() -> None:
    SecurityHeaders(None)
    import contextvars

    assert contextvars.Context().run(csp_nonce) == ""
