"""Growth in a real browser: a first count is none, and rows of a gap are no spike."""

import sqlite3
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.harness import Served, eventually, execute, make_database, write_config

AN_HOUR = 3600


def shift_back(history: Path, seconds: int) -> None:
    """Let all that was recorded have happened so many seconds earlier."""
    with closing(sqlite3.connect(history)) as connection, connection:
        for table, times in {"point": ("at",), "watched": ("since", "until")}.items():
            for time in times:
                connection.execute(f"UPDATE {table} SET {time} = {time} - {seconds}")


def test_first_counts_and_rows_of_a_gap_are_no_growth(quiet_page: Page, tmp_path: Path) -> None:
    page, path = quiet_page, make_database(tmp_path / "email.db", messages=12_345)
    config = write_config(tmp_path, [("email", path)], history='every = "1s"')
    rows = page.locator("#app #card-email")
    with Served(config) as served:
        page.goto(served.url)
        expect(rows).to_contain_text("12,345 rows")
        assert eventually(lambda: served.database("email")["change"])["rows"] == 0
        assert "+" not in page.locator("#app").inner_text()
        execute(path, "CREATE TABLE new (x)", "INSERT INTO new VALUES (1), (2), (3)")
        expect(rows).to_contain_text("+3")
        page.goto("about:blank")
        served.stop()
        execute(path, *["INSERT INTO new VALUES (0)"] * 41)
        shift_back(tmp_path / "history.db", AN_HOUR)
        served.restart()
        page.goto(f"{served.url}/?range=6h&show=rate")
        expect(rows).to_contain_text("+44")
        page.locator(".as-table summary").click()
        cells = page.locator(".as-table td")
        expect(cells.first).to_have_text("0")
        assert set(cells.all_text_contents()) <= {"0", "3", "not watched"}
