"""The command `compare`: the rows that only one copy of a database has, and which are damaged."""

import sqlite3
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner

from dash_app.cli.compare import compare
from tests.harness import LiveWriter, execute, make_database


def output(*copies: Path) -> list[str]:
    result = CliRunner().invoke(compare, [*map(str, copies)])
    assert result.exception is None
    return result.output.splitlines()


def test_rows_of_a_single_copy_are_counted_by_table(tmp_path: Path) -> None:
    first = make_database(tmp_path / "1.db", messages=3, drafts=2)
    second = make_database(tmp_path / "2.db", messages=4)
    third = make_database(tmp_path / "3.db", messages=3, drafts=2)
    assert output(first, second, third) == [
        f"{first}: 5 rows, no damage found",
        f"{second}: 4 rows, no damage found",
        f"{third}: 5 rows, no damage found",
        'Only in 2.db: 1 row of "messages"',
    ]
    assert output(first, third)[2:] == ["No copy has rows that the others lack."]
    assert len(output(first)) == 1
    execute(second, "UPDATE messages SET text = 'other' WHERE id = 1")
    assert output(first, second)[2:] == [
        'Only in 1.db: 1 row of "messages"',
        'Only in 1.db: 2 rows of "drafts"',
        'Only in 2.db: 2 rows of "messages"',
    ]


def test_a_damaged_copy_is_compared_as_far_as_possible(tmp_path: Path) -> None:
    first = make_database(tmp_path / "1.db", messages=3, drafts=2000)
    second = make_database(tmp_path / "2.db", messages=4)
    damaged = first.read_bytes()
    first.write_bytes(damaged[: 4 * 4096] + b"\xff" * 4096 + damaged[5 * 4096 :])
    first_line, _, *differences = output(first, second)
    assert first_line == f"{first}: damaged: drafts"
    malformed = '"drafts" of 1.db cannot be compared: database disk image is malformed'
    assert differences == [malformed, 'Only in 2.db: 1 row of "messages"']
    second.write_bytes(b"not a database" * 100)
    assert output(first, second) == [
        first_line,
        f"{second}: cannot be read: file is not a database",
    ]


def test_what_only_its_program_can_check_is_not_damage(tmp_path: Path) -> None:
    path = make_database(tmp_path / "1.db", messages=3)
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("own", 1, lambda text: text, deterministic=True)
        for collation in ("mine", "NOCASE"):
            connection.create_collation(collation, lambda a, b: (a > b) - (a < b))
        connection.executescript("""
            CREATE TABLE made (a, b AS (own(a)) UNIQUE);
            CREATE TABLE sorted (a TEXT COLLATE mine PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE words (a TEXT COLLATE NOCASE UNIQUE);
            INSERT INTO made (a) VALUES ('a'), ('B');
            INSERT INTO sorted SELECT a FROM made;
            INSERT INTO words SELECT a FROM made;
        """)
    unknown = "not fully checked: made, sorted and words"
    assert output(path) == [f"{path}: 9 rows, no damage found; {unknown}"]


def test_a_file_that_is_in_use_is_not_opened(tmp_path: Path) -> None:
    path = make_database(tmp_path / "email.db", messages=3)
    with LiveWriter(path) as writer:
        writer.do("SELECT count(*) FROM messages")
        result = CliRunner().invoke(compare, [str(path)])
    assert result.exit_code == 1
    assert f"{path} open" in result.output
