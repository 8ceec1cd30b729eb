"""The settings of a measure."""

from sys import float_info
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dash_app.model.measure import AGE, Measure, MeasureKind, MeasureLevel
from dash_app.model.naming import label
from dash_app.settings.quiet_hours import QuietHoursSetting
from dash_app.settings.section import Section
from dash_app.settings.values import Count, Duration, Flag, Label, between, duration, one_line

MAX_MEASURES, MAX_PINNED = 50, 3
MAX_SQL_CHARACTERS = 10_000

FOREIGN_KEYS = "foreign_keys"
LIMITS = ("min", "max", "equals")
OF_WINDOW = ("table", "rows_written", "window")
WHICH = (
    "write `sql`, or for the rows that a table must gain all three of `table`, `rows_written` and"
    " `window`"
)


def _number(value: object) -> float:
    """Return a finite number. Raise ValueError if it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= float_info.max:  # type: ignore[arg-type]
        raise ValueError("write a number, without quotes")
    return value  # type: ignore[return-value]


Number = Annotated[float, BeforeValidator(_number)]


class MeasureSettings(Section):
    """A number that is asked for again and again, and its limits."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=60)]
    label: Label = ""
    sql: Annotated[str, Field(max_length=MAX_SQL_CHARACTERS)] = ""
    every: Annotated[Duration, between("10s", "366d")] = duration("1m")
    unit: Annotated[str, Field(max_length=20), AfterValidator(one_line)] = ""
    min: Number | None = None
    max: Number | None = None
    equals: Number | None = None
    no_rows: Flag = False
    level: MeasureLevel = "fault"
    pinned: Flag = False
    table: Annotated[str, Field(max_length=1000)] = ""
    rows_written: Annotated[Count, Field(ge=1)] | None = None
    window: QuietHoursSetting | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        """Raise ValueError for settings that exclude each other."""
        if "\0" in self.sql:
            raise ValueError("`sql` has a null character")
        of_window = [name for name in OF_WINDOW if name in self.model_fields_set]
        if bool(self.sql.strip()) == bool(of_window) or len(of_window) not in {0, len(OF_WINDOW)}:
            raise ValueError(WHICH)
        limits = [name for name in LIMITS if getattr(self, name) is not None]
        if limits and (self.no_rows or of_window):
            raise ValueError(f"`{limits[0]}` is not needed: the measure has its limit already")
        if self.no_rows and of_window:
            raise ValueError("`no_rows` needs `sql`")
        if self.unit.strip() == AGE and (self.no_rows or of_window):
            raise ValueError(f'`unit` = "{AGE}" needs `sql` that returns a time')
        if self.equals is not None and len(limits) > 1:
            raise ValueError("write either `equals`, or `min` and `max`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("`min` is greater than `max`")
        return self

    @property
    def measure(self) -> Measure:
        """The measure. Without a label, one is made from its name."""
        kind: MeasureKind = "no_rows" if self.no_rows else "number"
        return Measure(
            self.name,
            self.label or label(self.name) or self.name,
            self.every,
            "rows_written" if self.window else kind,
            self.sql.strip(),
            self.unit.strip(),
            self.min if self.rows_written is None else self.rows_written,
            0 if self.no_rows else self.max,
            self.equals,
            self.level,
            self.pinned,
            self.table,
            self.window,
        )


def foreign_keys_measure() -> Measure:
    """Return the measure of rows whose parent is missing."""
    text = "Rows without their parent"
    return Measure(FOREIGN_KEYS, text, duration("1m"), "foreign_keys", greatest=0)


def check_measures(measures: tuple[MeasureSettings, ...]) -> tuple[MeasureSettings, ...]:
    """Return the measures of a database. Raise ValueError if some have the same name."""
    names = [measure.name for measure in measures]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"each name must be unique; given twice: {', '.join(repeated)}")
    if FOREIGN_KEYS in names:
        raise ValueError(f'"{FOREIGN_KEYS}" is the name of the measure of `foreign_keys = true`')
    if sum(measure.pinned for measure in measures) > MAX_PINNED:
        raise ValueError(f"pin at most {MAX_PINNED}: a card has no more room")
    return measures
