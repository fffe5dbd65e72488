"""The running service against its own description."""

from __future__ import annotations

import re

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from aiplatform_hub.services.platform.api.resources import RESOURCES, ROUTES
from aiplatform_hub.services.platform.openapi import document

DOCUMENT = document(ROUTES, server="/services/platform/")
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
EXAMPLES = 25


@SCHEMA.exclude(path="/api/v1/events").parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate], derandomize=True)
def test_every_answer_is_one_that_the_document_describes(case, place):
    headers = {"Authorization": f"token {place.hub.tokens['user9']}"}
    response = case.call(base_url=f"{place.hub.url}/services/platform", headers=headers)
    case.validate_response(
        response,
        checks=(
            schemathesis.checks.not_a_server_error,
            schemathesis.checks.status_code_conformance,
            schemathesis.checks.content_type_conformance,
            schemathesis.checks.response_schema_conformance,
            schemathesis.checks.response_headers_conformance,
        ),
    )
    assert response.status_code != 503


def test_the_served_document_is_the_one_made_from_the_routes(place):
    assert requests.get(f"{place.url}openapi.json", timeout=10).json() == DOCUMENT


def test_each_route_is_in_the_document_with_its_scope_and_refusals():
    for route in ROUTES:
        operation = DOCUMENT["paths"][f"/{route.path}"][route.method.lower()]
        assert operation["summary"]
        if route.is_public:
            assert operation["security"] == []
            continue
        assert route.scope in operation["description"]
        assert {"401", "403", "429", "503"} <= set(operation["responses"])


def test_each_route_has_a_method_of_its_handler():
    for resource in RESOURCES:
        for route in resource.routes:
            assert route.path == resource.path
            assert route.method.lower() in vars(resource.handler), route


def test_the_document_says_3_1_and_each_reference_resolves():
    assert DOCUMENT["openapi"] == "3.1.0"
    names = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert names <= set(DOCUMENT["components"]["schemas"])
    assert len({o["operationId"] for path in DOCUMENT["paths"].values() for o in path.values()}) == len(ROUTES)
