"""Makes `openapi.json`: the contract as OpenAPI 3.1, from the types, parameters and examples.

    python -m dash_app.api.openapi

The service sends the file and loads none of this. A test holds the file equal to what is made anew.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from dash_app import VERSION
from dash_app.api import parameters, schemas
from dash_app.api.route_docs import (
    DESCRIPTION,
    EVERYWHERE,
    HEADERS,
    JSON,
    PARAMETERS,
    REFUSALS,
    ROUTES,
    TEXT,
    TOO_LARGE,
    Json,
    Route,
    ref,
)
from dash_app.api.routes import DESCRIPTION as FILE

Documents = tuple[
    schemas.StatusDocument,
    schemas.DatabaseDocument,
    schemas.HistoryDocument,
    schemas.EventsDocument,
    schemas.IncidentsDocument,
    schemas.ServiceDocument,
    schemas.ErrorDocument,
]


class _Untitled(GenerateJsonSchema):
    """Pydantic's generator, without titles that repeat the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002
        return False


def description() -> Json:
    """Return the whole description, as it is where nothing is configured."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mission Control",
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {}],
        "paths": {
            rule.replace("<", "{").replace(">", "}"): {"get": _operation(rule, route)}
            for rule, route in ROUTES.items()
        },
        "components": {
            "schemas": _schemas(),
            "parameters": {name: _parameter(name) for name in PARAMETERS},
            "headers": {name: _header(name) for name in HEADERS},
            "responses": {str(status): _refusal(status) for status in REFUSALS}
            | {str(status): _too_large(status) for status in TOO_LARGE},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of `token_file`; without that setting, none.",
                }
            },
        },
    }


def _schemas() -> Json:
    adapter = TypeAdapter(Documents, config=ConfigDict(use_attribute_docstrings=True))
    schema = adapter.json_schema(
        ref_template="#/components/schemas/{model}", schema_generator=_Untitled
    )
    names = {"description": "The databases that are configured.", "type": "string"}
    return {**schema["$defs"], "DatabaseName": {**names, "enum": ["coordination"]}}


def _operation(rule: str, route: Route) -> Json:
    in_path = ["name"] if "<name>" in rule else []
    given = [ref("parameters", name) for name in (*in_path, *parameters.ROUTES[rule])]
    statuses = (*EVERYWHERE, *route.refusals)
    operation: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*given, *([_IF_NONE_MATCH] if route.is_json else [])],
        "responses": _answers(route),
    }
    if rule.startswith(("/api/", "/metrics")):
        statuses = (*statuses, 401)
    else:
        operation["security"] = []
    for status in sorted(statuses):
        plain = {} if route.is_json else _plain(route, status)
        operation["responses"][str(status)] = plain or ref("responses", str(status))
    for status in TOO_LARGE:
        operation["responses"][str(status)] = ref("responses", str(status))
    return operation


_IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of the answer before.",
    "schema": {"type": "string"},
}


def _answers(route: Route) -> Json:
    headers = ["Cache-Control", "Vary", *(["ETag"] if route.is_json else [])]
    marks = {name: ref("headers", name) for name in [*headers, *(["Age"] if route.has_age else [])]}
    content = {
        media: {"schema": schema, "example": example}
        for media, (schema, example) in route.answers.items()
    }
    answers = {"200": {"description": route.summary, "headers": marks, "content": content}}
    if route.is_json:
        answers["304"] = {"description": "No fact has changed.", "headers": marks}
    return answers


def _plain(route: Route, status: int) -> Json:
    """Return an error of a route for people: in text, where it is not the gate that refuses."""
    error = _refusal(status)
    content = {media: {"schema": {"type": "string"}} for media in route.answers}
    headers = {name: one for name, one in error["headers"].items() if name != "Retry-After"}
    return error | {"headers": headers, "content": error["content"] | content}


def _parameter(name: str) -> Json:
    words, schema = PARAMETERS[name]
    place: Json = {"in": "path", "required": True} if name == "name" else {"in": "query"}
    return {"name": name, **place, "description": words, "schema": schema}


def _header(name: str) -> Json:
    words, schema = HEADERS[name]
    return {"description": words, "required": True, "schema": schema}


def _refusal(status: int) -> Json:
    code, words, message, headers = REFUSALS[status]
    example = {"error": {"code": code, "message": message}}
    return {
        "description": words,
        "headers": {name: ref("headers", name) for name in ("Cache-Control", *headers)},
        "content": {JSON: {"schema": ref("schemas", "ErrorDocument"), "example": example}},
    }


def _too_large(status: int) -> Json:
    return {"description": TOO_LARGE[status], "content": {TEXT: {"schema": {"type": "string"}}}}


def as_text() -> str:
    """Return the description as it stands in the file."""
    return json.dumps(description(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text(), encoding="utf-8")
