"""Writes `openapi.json`, the contract as OpenAPI 3.1.

    python -m dash_app.api.openapi

The service sends the file and does not load this module. A test compares the file with its source.
"""

import json
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from dash_app import VERSION
from dash_app.api import incident_schemas, schemas, service_schemas
from dash_app.api.parameters import PARAMETERS, Parameters
from dash_app.api.route_docs import (
    ANY_TEXT,
    COMMON_ERRORS,
    DESCRIPTION,
    ERRORS,
    HEADERS,
    JSON,
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
    schemas.MeasuresDocument,
    schemas.HistoryDocument,
    schemas.EventsDocument,
    incident_schemas.IncidentsDocument,
    service_schemas.ServiceDocument,
    schemas.ErrorDocument,
]


class _Untitled(GenerateJsonSchema):
    """Leaves out titles that repeat the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002
        return False


def description() -> Json:
    """Return the description of a service without configuration."""
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
            "parameters": _parameters(),
            "headers": {
                name: {"description": text, "required": True, "schema": schema}
                for name, (text, schema) in HEADERS.items()
            },
            "responses": {str(status): _error(status) for status in ERRORS}
            | {
                str(status): {"description": text, "content": {TEXT: {"schema": ANY_TEXT}}}
                for status, text in TOO_LARGE.items()
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token in `token_file`; not needed without that setting.",
                }
            },
        },
    }


def _schemas() -> Json:
    adapter = TypeAdapter(Documents, config=ConfigDict(use_attribute_docstrings=True))
    schema = adapter.json_schema(
        ref_template="#/components/schemas/{model}", schema_generator=_Untitled
    )
    names = {"description": "The configured databases.", "type": "string"}
    return {**schema["$defs"], "DatabaseName": {**names, "enum": ["coordination"]}}


def _operation(rule: str, route: Route) -> Json:
    names = [*(["name"] if "<name>" in rule else []), *_properties(PARAMETERS[rule])]
    parameters = [ref("parameters", name) for name in names]
    statuses = (*COMMON_ERRORS, *route.errors)
    operation: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*parameters, *([_IF_NONE_MATCH] if route.is_json else [])],
        "responses": _success(route),
    }
    if rule.startswith(("/api/", "/metrics")):
        statuses = (*statuses, 401)
    else:
        operation["security"] = []
    for status in sorted(statuses):
        response = ref("responses", str(status)) if route.is_json else _plain_error(route, status)
        operation["responses"][str(status)] = response
    for status in TOO_LARGE:
        operation["responses"][str(status)] = ref("responses", str(status))
    return operation


_IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of the previous response.",
    "schema": {"type": "string"},
}


def _success(route: Route) -> Json:
    names = ["Cache-Control", "Vary"]
    names += ["ETag"] if route.is_json else []
    names += ["Age"] if route.has_age else []
    headers = {name: ref("headers", name) for name in names}
    content = {
        media: {"schema": schema, "example": example}
        for media, (schema, example) in route.content.items()
    }
    responses = {"200": {"description": route.summary, "headers": headers, "content": content}}
    if route.is_json:
        responses["304"] = {"description": "No fact changed.", "headers": headers}
    return responses


def _plain_error(route: Route, status: int) -> Json:
    """Return an error of a route without JSON; if access is denied, it is JSON all the same."""
    error = _error(status)
    content = {media: {"schema": ANY_TEXT} for media in route.content}
    headers = {name: header for name, header in error["headers"].items() if name != "Retry-After"}
    return error | {"headers": headers, "content": error["content"] | content}


class _ParameterSchema(_Untitled):
    """Describes a value that was sent, so neither null nor the default of an absent list."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Json:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        json_schema = super().default_schema(schema)
        return {k: v for k, v in json_schema.items() if k != "default" or v not in (None, [])}


def _properties(model: type[Parameters]) -> dict[str, Json]:
    """Return the parameters of a route by name, each as a JSON schema with its description."""
    schema = model.model_json_schema(schema_generator=_ParameterSchema)
    properties: dict[str, Json] = schema["properties"]
    return properties


def _parameters() -> Json:
    parameters: Json = {
        "name": {
            "name": "name",
            "in": "path",
            "required": True,
            "description": "A configured database.",
            "schema": ref("schemas", "DatabaseName"),
        }
    }
    for model in PARAMETERS.values():
        for name, schema in _properties(model).items():
            described = {"name": name, "in": "query", "description": schema.pop("description")}
            parameters[name] = {**described, "schema": schema}
    parameters["database"]["schema"]["items"] = ref("schemas", "DatabaseName")
    return parameters


def _error(status: int) -> Json:
    code, description, message, headers = ERRORS[status]
    example = {"error": {"code": code, "message": message}}
    return {
        "description": description,
        "headers": {name: ref("headers", name) for name in ("Cache-Control", *headers)},
        "content": {JSON: {"schema": ref("schemas", "ErrorDocument"), "example": example}},
    }


def as_text() -> str:
    """Return the description as written to the file."""
    return json.dumps(description(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text(), encoding="utf-8")
