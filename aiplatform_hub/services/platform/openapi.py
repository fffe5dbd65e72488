"""The OpenAPI 3.1 document, made from the routes and the models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from aiplatform_hub import __version__
from aiplatform_hub.services.platform.models import Problem
from aiplatform_hub.services.platform.routes import Parameter, Reply, Route

_REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)\}")
COMMON_ERRORS = (401, 403, 429, 503)
"""Refusals that every route with a token can give."""
ERROR_WORDS = {
    400: "`invalid_option`: a value is unknown, of the wrong type or out of range",
    401: "`unauthenticated`: no token, or one that is wrong or expired",
    403: "`insufficient_scope`, `forbidden`, `profile_forbidden` or `quota_exceeded`",
    404: "`not_found`: there is no such thing, or it is not yours to know",
    405: "`method_not_allowed`",
    409: "`quota_in_use`, `server_exists` or `conflict`",
    429: "`rate_limited`, `capacity` or `queue_full`, with `Retry-After`",
    503: "`service_unavailable`: the database or the hub does not answer; nothing was changed",
}


def document(routes: Iterable[Route], *, server: str) -> dict[str, Any]:
    """Return the whole document; ``server`` is the path of the service, ending with a slash."""
    listed = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AI Platform Hub",
            "version": __version__,
            "description": "Launch, watch and stop environments with GPUs; read usage and costs. Times are UTC, spans half-open, money is decimal text.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": server.rstrip("/")}],
        "security": [{"token": []}, {"cookie": [], "xsrf": []}],
        "paths": paths,
        "components": {"schemas": _schemas(listed), "securitySchemes": _security()},
    }


def _security() -> dict[str, Any]:
    return {
        "token": {"type": "http", "scheme": "bearer", "description": "A JupyterHub API token; `Authorization: token …` works too"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "service-platform", "description": "The login of the pages, from the same origin only"},
        "xsrf": {"type": "apiKey", "in": "header", "name": "X-Xsrftoken", "description": "The `_xsrf` cookie's value; or `_xsrf` in the query"},
    }


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    models: dict[str, tuple[type[BaseModel], Any]] = {"Problem": (Problem, "serialization")}
    for route in routes:
        if route.body is not None:
            models[route.body.__name__] = (route.body, "validation")
        for reply in route.replies.values():
            if reply.model is not None:
                models[reply.model.__name__] = (reply.model, "serialization")
    _, schema = models_json_schema(list(models.values()), ref_template=_REFERENCE)
    definitions: dict[str, Any] = schema["$defs"]
    return dict(sorted(definitions.items()))


def _operation(route: Route) -> dict[str, Any]:
    scope = f"Needs the scope {' or '.join(f'`{scope}`' for scope in (route.scope, route.other_scope) if scope)}." if route.scope else ""
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": "\n\n".join(part for part in (route.description, scope) if part),
        "tags": list(route.tags),
        "parameters": [*_path_parameters(route), *(_parameter(parameter) for parameter in route.parameters)],
        "responses": {str(status): _reply(reply) for status, reply in route.replies.items()} | _errors(route),
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema(route.body)}}}
    if route.is_public:
        operation["security"] = []
    return operation


def _operation_id(route: Route) -> str:
    words = [word for word in re.split(r"[^a-z]+", route.path.removeprefix("api/v1/")) if word]
    return "_".join((route.method.lower(), *words))


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    kinds = {"id": {"type": "string", "format": "uuid"}}
    names = _PARAMETER.findall(route.path)
    return [{"name": name, "in": "path", "required": True, "schema": kinds.get(name, {"type": "string", "minLength": 1})} for name in names]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {"name": parameter.name, "in": parameter.place, "description": parameter.description, "schema": dict(parameter.schema)}


def _reply(reply: Reply) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": reply.description}
    if reply.model is not None:
        answer["content"] = {reply.media_type: {"schema": _schema(reply.model)}}
    elif reply.is_object or reply.media_type != "application/json":
        answer["content"] = {reply.media_type: {"schema": {"type": "object" if reply.is_object else "string"}}}
    if reply.other_media_types:
        answer["content"] |= {name: {"schema": {"type": "string"}} for name in reply.other_media_types}
    if reply.headers:
        answer["headers"] = {name: {"schema": {"type": "string"}} for name in reply.headers}
    return answer


def _errors(route: Route) -> dict[str, Any]:
    statuses = sorted({*route.errors, *((429,) if route.is_public else COMMON_ERRORS)})
    problem = {"application/problem+json": {"schema": _schema(Problem)}}
    return {str(status): {"description": ERROR_WORDS[status], "content": problem} for status in statuses}


def _schema(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
