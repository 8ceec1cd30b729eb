"""The page check in the view of a database: what was found, and the size of each table."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from dash import html
from dash.development.base_component import Component

from dash_app.model.integrity import Damage, Integrity, IntegrityState, TableCheck
from dash_app.page.widgets import Icon, and_more, aside, icon, middle_ellipsis, moment, with_age
from dash_app.words import numbers
from dash_app.words.integrity import integrity_line, percent

SIGNS: dict[IntegrityState, tuple[Icon, str]] = {
    "clean": ("check", "ok"),
    "checking": ("waiting", "muted"),
    "damaged": ("cross", "bad"),
    "unchecked": ("unknown", "idle"),
}
"""Icon and colour of each state."""

SCHEMA = "sqlite_schema"
"""It is no table of the program. Its damage is that of no table."""

MAX_ROWS, MAX_INDEXES = 100, 5


def weekly_growth(
    integrity: Integrity, before: Mapping[str, tuple[int, datetime]], now: datetime
) -> dict[str, int]:
    """Return the growth of tables with their indexes, in bytes per week.

    `before` has earlier sizes of tables and indexes and their times. Less than a day shows nothing.
    """
    growth: dict[str, int] = {}
    for name, size_bytes in integrity.table_bytes.items():
        earlier, at = before.get(name, (0, now))
        if now - at >= numbers.A_DAY:
            table = integrity.index_tables.get(name, name)
            per_week = (size_bytes - earlier) * (numbers.A_WEEK / (now - at))
            growth[table] = growth.get(table, 0) + round(per_week)
    return growth


def integrity_section(
    integrity: Integrity, growth: Mapping[str, int], note: str, now: datetime
) -> Component:
    """Return the state of the page check, and the size and the newest check of each table.

    `growth` is in bytes per week, by table; `note` is about the SQLite of its writers.
    """
    shape, colour = SIGNS[integrity.state]
    line = [*with_age(integrity_line(integrity), now), *_progress(integrity)]
    damaged = {damage.table for damage in integrity.damage}
    tables = dict.fromkeys([*integrity.sizes(), *sorted(integrity.tables)])
    tables.pop(SCHEMA, None)
    names = sorted(tables, key=lambda name: name not in damaged)[:MAX_ROWS]
    parts = [
        html.P([icon(shape), html.Span(line)], className=f"expected {colour}"),
        *(_damage(one, integrity, now) for one in integrity.damage if one.table not in names),
        *([_tables(names, integrity, growth, now)] if names else []),
        *and_more(len(tables) - MAX_ROWS),
        *([aside(note)] if note else []),
    ]
    return html.Section([html.H2("Integrity"), html.Div(parts)], className="integrity")


def _progress(integrity: Integrity) -> list[str]:
    if integrity.state == "checking":
        return [", no damage found so far"]
    if integrity.reason and integrity.state != "unchecked":
        return [f"; not checked now: {integrity.reason}"]
    if integrity.checked_at and 0 < integrity.checked_share < 1:
        return [f"; {percent(integrity)} of the next check is done"]
    return []


def _tables(
    names: list[str], integrity: Integrity, growth: Mapping[str, int], now: datetime
) -> Component:
    """Return a line per table. A phone has the check in its second line."""
    shown = {"In indexes": integrity.index_tables, "A week": growth}
    texts = ["Size", *(text for text, values in shown.items() if values), "Checked"]
    classes = {"In indexes": "wide-only", "Checked": "wide-only"}
    sizes, rows = integrity.sizes(), []
    for name in names:
        whole, indexes = map(numbers.size, sizes.get(name, (0, 0)))
        check = integrity.tables.get(name, TableCheck())
        at = check.checked_at
        checked = moment(at, "ago", now) if at else "not yet"
        cells = {
            "Size": whole if name in sizes else "unknown",
            "In indexes": indexes if name in sizes else "unknown",
            "A week": numbers.size_change(growth[name]) if name in growth else "unknown",
            "Checked": checked,
        }
        second = ["Checked ", checked] if at else "Not checked yet"
        notes: list[Component] = _indexes(name, integrity)
        is_clean, ended_at = integrity.state == "clean", integrity.checked_at or now
        if not (at and is_clean and ended_at - at < timedelta(hours=1)):  # the first line says it
            notes.insert(0, html.Span(second, className="grew"))
        notes += [_damage(one, integrity, now) for one in integrity.damage if one.table == name]
        notes += [html.Span(f"Not compared: {check.note}", className="expected")] * bool(check.note)
        first = html.Th([middle_ellipsis(name), html.Div(notes, className="note")], scope="row")
        rows.append(
            html.Tr([first, *(html.Td(cells[text], className=classes.get(text)) for text in texts)])
        )
    head = [html.Th(text, scope="col", className=classes.get(text)) for text in ("Table", *texts)]
    return html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="sortable")


def _indexes(table: str, integrity: Integrity) -> list[Component]:
    """Return the size of each index of a table; of a single one, the column has it."""
    own = [index for index, of_table in integrity.index_tables.items() if of_table == table]
    sizes = {index: integrity.table_bytes[index] for index in own if index in integrity.table_bytes}
    largest = sorted(sizes, key=lambda index: -sizes[index])
    texts = [f"{index} {numbers.size(sizes[index])}" for index in largest]
    text = f"Indexes: {', '.join(numbers.first_of(texts, MAX_INDEXES))}"
    return [html.Span(text, className="expected" if len(texts) > 1 else "grew")] if texts else []


def _damage(damage: Damage, integrity: Integrity, now: datetime) -> Component:
    """Return a damage, with its age unless the first line has it."""
    pages = numbers.plural(damage.pages, "damaged page")
    least = "At least " if damage.pages == 1 else ""  # SQLite may name no pages
    text = f"{least}{pages}{'' if damage.table else ' outside all tables'}"
    is_newest = damage.found_at == max(one.found_at for one in integrity.damage)
    words: list[Component | str] = [text]
    if not is_newest:
        words += [", found ", moment(damage.found_at, "ago", now)]
    return html.Span([icon("cross"), html.Span(words)], className="expected bad")
