"""The bench of a watched writer, in its short form: it runs, and the writer met nobody's lock."""

from __future__ import annotations

from pathlib import Path

from tests.bench import observed


def test_a_watched_writer_is_never_told_to_wait(tmp_path: Path) -> None:
    ((alone, watched),) = observed.measure(tmp_path, rows=50_000, seconds=2, rate=300, rounds=1)
    assert (alone.busy, watched.busy) == (0, 0)
    assert watched.commits_per_second > 0
    assert watched.log_mb > 0
