"""The benchmark of a watched writer runs, and the writer never finds the database locked."""

from pathlib import Path

from tests.bench import observed


def test_a_watched_writer_is_never_locked_out(tmp_path: Path) -> None:
    ((alone, watched),) = observed.run_in_turns(
        tmp_path, rows=50_000, seconds=2, rate=300, rounds=1
    )
    assert (alone.busy, watched.busy) == (0, 0)
    assert watched.commits_per_second > 0
    assert watched.wal_mb > 0
