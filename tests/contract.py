"""Checks each response of a service against its description, which must be complete."""

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
    """Fail if the response of a described route differs from its description."""
    path = path.partition("?")[0]
    route = next((known for known in DESCRIPTION["paths"] if _matches(known, path)), None)
    if route is None:
        if path.startswith("/api/"):
            validator(ERROR).validate(json.loads(body))
        return
    response = resolved(DESCRIPTION["paths"][route]["get"]["responses"][str(status)])
    media = content_type.partition(";")[0]
    assert media in response["content"], (path, status, media)
    if media == JSON:
        validator(response["content"][JSON]["schema"].get("$ref")).validate(json.loads(body))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, or the target of its reference."""
    if "$ref" not in schema:
        return schema
    _root, *parts = schema["$ref"].split("/")
    target: Any = DESCRIPTION
    for part in parts:
        target = target[part]
    return resolved(target)


@cache
def validator(reference: str | None) -> Any:
    """Return a validator for a schema that rejects undescribed fields."""
    schema = {"$ref": reference} if reference else {}
    components = _strict(DESCRIPTION["components"]["schemas"])
    whole = schema | {"components": {"schemas": components}}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def _matches(route: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path) is not None


def _strict(schema: Any) -> Any:
    """Return a schema that rejects unknown fields and values, even if it announces future ones."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        strict["additionalProperties"] = False
    if {"type": "string"} in schema.get("anyOf", []) and "enum" in schema["anyOf"][0]:
        strict["anyOf"] = schema["anyOf"][:1]
    return strict
