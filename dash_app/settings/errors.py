"""Says what is wrong with a setting: its place, and what is allowed there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

MESSAGES = {
    "int_type": "write a whole number",
    "greater_than_equal": "that is too small",
    "less_than_equal": "that is too large",
    "string_type": "write a text in quotes",
    "string_pattern_mismatch": "use a to z, 0 to 9, _ and - alone",
    "tuple_type": "write a list in brackets",
    "bool_type": "write true or false",
}
"""What is allowed, by what a value was refused for."""


def explain(problem: Mapping[str, Any], sections: Mapping[str, type[BaseModel]]) -> str:
    """Return one problem that pydantic found as its place and what is allowed there."""
    place, key = _place(problem["loc"])
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(sections[str(problem["loc"][0])].model_fields)
        return f"{place} has no setting `{key}`. Allowed: {allowed}."
    if problem["type"] == "missing":
        return f"{place} needs `{key}`."
    message = MESSAGES.get(problem["type"], str(problem["msg"]).removeprefix("Value error, "))
    return f"{place} `{key}` = {problem['input']!r}: {message}."


def _place(location: tuple[str | int, ...]) -> tuple[str, str]:
    section, *rest = location
    numbers = [part + 1 for part in rest if isinstance(part, int)]
    key = next((str(part) for part in reversed(rest) if isinstance(part, str)), str(section))
    if section == "databases":
        return (f"[[databases]] number {numbers[0]}" if numbers else "[[databases]]"), key
    return (f"[{section}]" if rest else "The file"), key
