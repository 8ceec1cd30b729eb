"""What a person expects of a database and its tables, as a configuration says it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from dash_app.model.expectation import Expectation, Rules, TableRules
from dash_app.model.quiet_hours import NO_QUIET_HOURS
from dash_app.settings.base import Section
from dash_app.settings.quiet_hours import QuietHoursSetting
from dash_app.settings.values import MAX_INTEGER, Duration, Size, between

LONGEST = timedelta(days=366)
GRACE_SHARE = 0.25
"""Of `every`, where no `grace` is given."""


def _expect(value: object) -> object:
    if isinstance(value, dict | Section):
        return value
    raise ValueError('write how often something is written, such as {every = "1h", grace = "10m"}')


def _percent(value: object) -> float:
    match = (
        re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,15})?)\s*%", value)
        if isinstance(value, str)
        else None
    )
    if match is None or not 0 <= float(match[1]) <= 100:
        raise ValueError('write a share from "0%" to "100%", such as "20%"')
    return float(match[1])


Percent = Annotated[float, BeforeValidator(_percent)]
Rows = Annotated[int, Field(ge=0, le=MAX_INTEGER, strict=True)]
Flag = Annotated[bool, Field(strict=True)]


class ExpectSettings(Section):
    """How often something is written, and how much later it may be."""

    every: Annotated[Duration, between(timedelta(minutes=1), LONGEST, "1m and 366d")]
    grace: Annotated[Duration, between(timedelta(0), LONGEST, "0s and 366d")] | None = None


class TableSettings(Section):
    """What is expected of one table; `quiet` in place of what its database says."""

    expect: Annotated[ExpectSettings, BeforeValidator(_expect)] | None = None
    quiet: QuietHoursSetting | None = None
    paused: Flag = False
    min_rows: Rows | None = None
    max_drop: Percent | None = None

    @property
    def expectation(self) -> Expectation | None:
        """How often something is written, with a grace; None where nothing is expected."""
        if self.expect is None:
            return None
        every, grace = self.expect.every, self.expect.grace
        return Expectation(every, every * GRACE_SHARE if grace is None else grace)


class RulesSettings(TableSettings):
    """What is expected of one database."""

    max_wal: Size | None = None
    max_size: Size | None = None
    min_free: Size | None = None
    tables: dict[str, TableSettings] = Field(default_factory=dict)

    def rules(self) -> Rules:
        """Return what is expected of the database and of each table that is named."""
        return Rules(
            expect=self.expectation,
            quiet=self.quiet or NO_QUIET_HOURS,
            paused=self.paused,
            min_rows=self.min_rows,
            max_drop_percent=self.max_drop,
            max_wal_bytes=self.max_wal,
            max_size_bytes=self.max_size,
            min_free_bytes=self.min_free,
            tables={name: self._rules_of(table) for name, table in self.tables.items()},
        )

    def _rules_of(self, table: TableSettings) -> TableRules:
        return TableRules(
            expect=table.expectation,
            quiet=(self.quiet or NO_QUIET_HOURS) if table.quiet is None else table.quiet,
            paused=self.paused or table.paused,
            min_rows=table.min_rows,
            max_drop_percent=self.max_drop if table.max_drop is None else table.max_drop,
        )
