"""What the demo expects of its databases, and what it asks them, as a configuration has it."""

import tomllib
from collections.abc import Mapping
from typing import Any

RULES: Mapping[str, Mapping[str, Any]] = tomllib.loads("""
[[coordination.measures]]
name = "open_tasks"
sql = "SELECT count(*) FROM tasks WHERE status = 'open'"
max = 50
pinned = true

[[coordination.measures]]
name = "tasks_by_status"
sql = "SELECT status, count(*) FROM tasks GROUP BY status"

[[observability.measures]]
name = "cost_today"
sql = "SELECT round(total(cost_usd), 2) FROM events WHERE at >= date('now')"
unit = "USD"
max = 20
level = "notice"
pinned = true

[[content.measures]]
name = "articles_by_state"
sql = "SELECT state, count(*) FROM articles GROUP BY state"

[[email.measures]]
name = "unanswered"
label = "Unanswered mail"
sql = "SELECT count(*) FROM messages WHERE NOT is_answered"
max = 25
pinned = true

[health]
expect = {every = "1m", grace = "1h"}  # late a minute after its only write

[[health.measures]]
name = "newest_reading"
sql = "SELECT max(at) FROM readings"
unit = "age"
pinned = true
""")
"""The settings of each database besides name, label and path."""
