"""What the demo expects of its databases, and what it asks them, as a configuration has it."""

from collections.abc import Mapping
from typing import Any

RULES: Mapping[str, Mapping[str, Any]] = {
    "coordination": {
        "measures": [
            {
                "name": "open_tasks",
                "sql": "SELECT count(*) FROM tasks WHERE status = 'open'",
                "max": 50,
                "pinned": True,
            },
            {
                "name": "tasks_by_status",
                "sql": "SELECT status, count(*) FROM tasks GROUP BY status",
            },
        ]
    },
    "observability": {
        "measures": [
            {
                "name": "cost_today",
                "sql": "SELECT round(total(cost_usd), 2) FROM events WHERE at >= date('now')",
                "unit": "USD",
                "max": 20,
                "level": "notice",
                "pinned": True,
            }
        ]
    },
    "content": {
        "measures": [
            {
                "name": "articles_by_state",
                "sql": "SELECT state, count(*) FROM articles GROUP BY state",
            }
        ]
    },
    "email": {
        "measures": [
            {
                "name": "unanswered",
                "label": "Unanswered mail",
                "sql": "SELECT count(*) FROM messages WHERE NOT is_answered",
                "max": 25,
                "pinned": True,
            }
        ]
    },
    "health": {
        "expect": {"every": "1m", "grace": "1h"},  # late a minute after its only write
        "measures": [
            {
                "name": "newest_reading",
                "sql": "SELECT max(at) FROM readings",
                "unit": "age",
                "pinned": True,
            }
        ],
    },
}
"""The settings of each database besides name, label and path."""
