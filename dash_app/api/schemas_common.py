"""What several JSON documents are made of; see `documents`."""

from typing import Annotated, get_args

from pydantic import WithJsonSchema


def open_text(known: object, what: str) -> WithJsonSchema:
    """Describe a text that has known values and may have others in later versions."""
    return WithJsonSchema(
        {
            "description": f"{what} Later versions may add values.",
            "anyOf": [{"enum": list(get_args(known))}, {"type": "string"}],
        }
    )


Time = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-23T15:00:05.120Z"]}
    ),
]
