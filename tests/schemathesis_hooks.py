"""A rule that OpenAPI cannot express: `from` is before `to`, which defaults to now."""

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    if case.meta.generation.mode.is_positive and "from" in (case.query or {}):
        case.query["from"], case.query["to"] = "2026-11-23T14:00:00Z", "2026-11-23T15:00:00Z"
