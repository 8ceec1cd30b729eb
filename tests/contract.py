"""Holds each answer of a served process to its description, and to nothing beyond it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

DESCRIPTION: dict[str, Any] = json.loads(
    Path(__file__).parents[1].joinpath("dash_app/api/openapi.json").read_text(encoding="utf-8")
)
ERROR = "#/components/schemas/ErrorDocument"
JSON = "application/json"


def check(path: str, status: int, content_type: str, body: str) -> None:
    """Fail where an answer of a described route is not as described."""
    path = path.partition("?")[0]
    route = next((one for one in DESCRIPTION["paths"] if _matches(one, path)), None)
    if route is None:
        if path.startswith("/api/"):
            validator(ERROR).validate(json.loads(body))
        return
    response = resolved(DESCRIPTION["paths"][route]["get"]["responses"][str(status)])
    media = content_type.partition(";")[0]
    assert media in response["content"], (path, status, media)
    if media == JSON:
        validator(response["content"][JSON]["schema"].get("$ref")).validate(json.loads(body))


def resolved(one: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference stands for, or the thing itself."""
    if "$ref" not in one:
        return one
    _root, *parts = one["$ref"].split("/")
    found: Any = DESCRIPTION
    for part in parts:
        found = found[part]
    return resolved(found)


@cache
def validator(reference: str | None) -> Any:
    """Return what holds a document to a schema of the description, and to nothing beyond it."""
    schema = {"$ref": reference} if reference else {}
    components = _strict(DESCRIPTION["components"]["schemas"])
    whole = schema | {"components": {"schemas": components}}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def _matches(route: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path) is not None


def _strict(schema: Any) -> Any:
    """Return a schema that refuses other fields, and other values where more may come later."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value) for key, value in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        found["additionalProperties"] = False
    if {"type": "string"} in schema.get("anyOf", []) and "enum" in schema["anyOf"][0]:
        found["anyOf"] = schema["anyOf"][:1]
    return found
