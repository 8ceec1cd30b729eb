"""One database, or all of them, in a few words: verdict, notes, badge, headline and status line.

Clock times in plain text are UTC, because the zone of the reader is unknown.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dash_app.model.match import Pattern
from dash_app.model.problem import Problem
from dash_app.model.reading import Reading
from dash_app.model.snapshot import DatabaseStatus, Snapshot
from dash_app.words.incidents import acknowledged_by
from dash_app.words.integrity import check_line, spoken_line
from dash_app.words.measures import UNKNOWN, value_text
from dash_app.words.numbers import (
    A_DAY,
    age,
    ago,
    change,
    clock,
    first_of,
    number,
    plural,
    short_path,
)
from dash_app.words.problems import (
    Sentence,
    badge_text,
    current_parts,
    disk_line,
    kind_in_brief,
    moment_word,
    other_problems,
    predicate,
    spoken,
)

PAUSED = "Paused: no alerts."
MAX_VALUES = 3
"""Maximum number of values of a pinned measure in a line; the others are counted."""

STATES = ("well", "acknowledged", "not initialized", "paused", "unknown")
"""States of databases that need nobody, in the order of the headline."""

FOREIGN_ENGINE = "Open in an engine other than SQLite, such as Turso."
RESET_BUG = "When two programs checkpoint at once, it may lose committed pages, though rarely."
RESET_BUG_FIX = (
    "SQLite 3.51.3 fixes that, as do 3.50.7 and 3.44.6; a distribution may have fixed it without"
    " changing the number."
)
MAIN_FILE_ONLY = "Rows of the main file only: a WAL under another name may hold more."
ONE_GENERATION = "Rows are counted in one WAL only: another program may see other rows."


def verdict(reading: Reading, problems: Sequence[Problem] = ()) -> str:
    """Return one sentence on one database: its first problem, or otherwise its rows."""
    if problems:
        return problems[0].text
    if "is_noted" in reading.detail:
        return not_renewed(reading)
    return rows_in_tables(reading)


def rows_in_tables(reading: Reading) -> str:
    """Return the rows and tables of a reading in a sentence: 133 rows in 2 tables."""
    tables = plural(len(reading.tables), "table")
    if reading.counted_rows is None:
        return f"{tables}, rows unknown."
    unknown = sum(not count.is_known for count in reading.tables.values())
    more = f", {number(unknown)} unknown" if unknown else ""
    return f"{rows_of(reading)} in {tables}{more}."


def rows_of(reading: Reading) -> str:
    """Return the rows of a database; "counted" means that some tables are not included."""
    if reading.counted_rows is None:
        return "Rows unknown"
    counted = "" if reading.total_complete else " counted"
    return f"{about(reading)}{plural(reading.counted_rows, 'row')}{counted}"


def about(reading: Reading) -> str:
    """Return the sign before the rows of a database if they are not exact; otherwise nothing."""
    is_partial = bool(reading.detail.keys() & {"one_generation", "main_only"})
    is_estimate = any(count.is_known and count.estimate for count in reading.tables.values())
    return "≈\N{NO-BREAK SPACE}" if is_partial or is_estimate else ""


def not_renewed(reading: Reading) -> str:
    """Describe why a database shows an earlier reading, and give its time."""
    holder = reading.detail.get("holder", "A program")
    why = "has locked it" if reading.wait_reason == "lock" else "writes to it without pause"
    return f"{holder} {why}. Last read at {reading.verified_at:%H:%M:%S} UTC."


def notes(status: DatabaseStatus) -> list[Sentence]:
    """Return further sentences on a database, which usually has none."""
    if status.is_paused:
        return [(PAUSED,)]
    lines = other_problems(status.verdict, status.problems)
    if "is_noted" in status.reading.detail:
        lines.insert(0, (not_renewed(status.reading),))
    return [*lines, *((note,) for note in reading_notes(status))]


def reading_notes(status: DatabaseStatus) -> list[str]:
    """Describe the limits of a reading, and a disk that is nearly full."""
    lines = []
    if "main_only" in status.reading.detail:
        lines.append(MAIN_FILE_ONLY)
    if "one_generation" in status.reading.detail:
        lines.append(ONE_GENERATION)
    if links := status.reading.detail.get("names"):
        lines.append(f"It has {links} names (hard links). A WAL under another name is not read.")
    disk = status.reading.surroundings.disk
    has_low_disk = any(problem.code == "disk_low" for problem in status.problems)
    if disk and disk.is_worth_showing and not has_low_disk:
        lines.append(f"{disk_line(disk)}.")
    return lines


def reset_bug_note(reading: Reading) -> str:
    """Describe the WAL-reset bug of the SQLite that last wrote a database; empty if it has none."""
    version = reading.buggy_version
    return f"Last written by SQLite {version}. {RESET_BUG} {RESET_BUG_FIX}" if version else ""


def pattern_notes(patterns: Iterable[Pattern]) -> list[str]:
    """Return a sentence per pattern without a database, or whose files are not all watched."""
    return [pattern_note(one) for one in patterns if one.unwatched != 0 or not one.watched]


def pattern_note(pattern: Pattern) -> str:
    """Return how many files match a pattern, and how many of them are watched if not all are."""
    path, beyond = short_path(Path(pattern.path)), ""
    if pattern.unwatched is None:
        return (
            f"New files of {path} are not seen: this user may not list its folders, or they hang."
        )
    if not (total := pattern.watched + pattern.unwatched):
        return f"No database for {path} yet."  # or another entry has its files
    if pattern.unwatched:
        beyond = f", {number(pattern.unwatched)} of them not watched"
    verb = "matches" if total == 1 else "match"
    return f"{plural(total, 'file')} {verb} {path}{beyond}."


def headline(snapshot: Snapshot, now: datetime) -> str:
    """Return one line on all databases: whether everything is well."""
    return spoken(headline_parts(snapshot), now)


def headline_parts(snapshot: Snapshot) -> Sentence:
    """Return the headline; the time since when a single trouble lasts is a part."""
    needing, total, counts = snapshot.needing, len(snapshot.databases), state_counts(snapshot)
    if len(needing) == 1:
        since = [p.since for p in needing[0].pressing[:1] if not p.needs_acknowledgement]
        return (trouble(needing[0]) + (", " if since else ""), *since)
    if needing:
        known = counts.get("acknowledged")
        return (f"{len(needing)} of {total} need you{f', {known} acknowledged' if known else ''}",)
    if "unknown" in counts:
        return ("Can't tell",)
    if set(counts) <= {"not initialized"}:
        return ("Nothing here yet",)
    if counts != {"well": total}:
        return (", ".join(f"{count} {state}" for state, count in counts.items()),)
    return (_all_well(snapshot),)


def _all_well(snapshot: Snapshot) -> str:
    """Return that all databases are well and, from one day on, for how many days."""
    total = len(snapshot.databases)
    subject = {1: snapshot.databases[0].database.label, 2: "Both"}.get(total, f"All {total}")
    well_since = snapshot.well_since or snapshot.taken_at
    if days := (snapshot.taken_at - well_since) // A_DAY:
        return f"{subject} well for {plural(days, 'day')}"
    return f"{subject}{' is' if total == 1 else ''} well"


def state_counts(snapshot: Snapshot) -> dict[str, int]:
    """Return how many of the databases that do not need a person are in each of `STATES`."""
    states = [state(status) for status in snapshot.databases if not status.needs_you]
    return {state: states.count(state) for state in STATES if state in states}


def state(status: DatabaseStatus) -> str:
    """Return in which of `STATES` a database is that needs nobody."""
    if status.is_paused:
        return "paused"
    if status.level == "unknown":
        return "unknown"
    if status.acknowledged:
        return "acknowledged"
    return "not initialized" if status.status == "not_initialized" else "well"


def others(snapshot: Snapshot) -> str:
    """Return the databases beside those that need a person: 8 others well, 1 paused."""
    needing, counts = len(snapshot.needing), state_counts(snapshot)
    names = {"well": "other well" if counts.get("well") == 1 else "others well"}
    shown = (state for state in counts if needing == 1 or state != "acknowledged")
    texts = [f"{counts[state]} {names.get(state, state)}" for state in shown]
    return ", ".join(texts) if needing else ""


def trouble(status: DatabaseStatus) -> str:
    """Return a database that needs a person, with its worst problem: Email is down."""
    for problem in status.pressing[:1]:
        if problem.measure:
            labels = {report.measure.name: report.measure.label for report in status.measures}
            measure = labels.get(problem.measure, problem.measure)
            return f"{status.database.label}: {measure} {kind_in_brief(problem.code)}"
        return f"{status.database.label} {predicate(problem.code)}"
    return f"{status.database.label} needs you"


def title(label: str | None = None, needing: Sequence[DatabaseStatus] = ()) -> str:
    """Return the title of the page, or of the view of the database with this label.

    `needing` are its databases that need a person, worst first: (2) Email; (1) Email is down.
    """
    subject = label
    if needing:
        named = trouble(needing[0]) if label else needing[0].database.label
        subject = f"({len(needing)}) {named}"
    return f"{subject} · Mission Control" if subject else "Mission Control"


def badge(status: DatabaseStatus) -> str:
    """Return the key of a badge: a status, the code of a problem, "undecided" or "paused"."""
    if status.is_paused:
        return "paused"
    first = status.problems[0] if status.problems else None
    is_danger = bool(first and first.is_danger)
    is_undecided = status.reading.is_undecided or bool(first and first.level == "unknown")
    if is_undecided and not status.is_stale and not is_danger:
        return "undecided"
    code = first.code if first else status.status
    is_named = is_danger or status.status == "connected" or code == "truncated"
    return code if is_named else status.status


def glance_text(snapshot: Snapshot | None, now: datetime) -> str:
    """Return the headline and one line per database, for terminals and shortcuts."""
    if snapshot is None:
        return "Can't tell · nothing read yet\n"
    lines = (
        f"{word}  {label}  {glance_line(status, now)}" for status, word, label in aligned(snapshot)
    )
    notes = pattern_notes(snapshot.patterns)
    return "\n".join([headline_with_age(snapshot, now), *lines, *notes, ""])


def headline_with_age(snapshot: Snapshot, now: datetime) -> str:
    """Return the headline with the time and age of the snapshot."""
    return f"{headline(snapshot, now)} · {snapshot_age(snapshot, now)}"


def snapshot_age(snapshot: Snapshot, now: datetime) -> str:
    """Return the time and age of a snapshot: 15:00:05 UTC, 2 s ago."""
    taken_at = snapshot.taken_at.astimezone(UTC)
    return f"{taken_at:%H:%M:%S} UTC, {ago(now - taken_at)}"


def aligned(snapshot: Snapshot) -> list[tuple[DatabaseStatus, str, str]]:
    """Return each database, worst first, with its badge as a word and its label, in columns."""
    statuses = snapshot.worst_first
    words = ["stale" if s.is_stale else badge_text(badge(s)) for s in statuses]
    labels = [status.database.label for status in statuses]
    word_width, label_width = (max(map(len, texts), default=0) for texts in (words, labels))
    return [
        (status, word.ljust(word_width), label.ljust(label_width))
        for status, word, label in zip(statuses, words, labels, strict=True)
    ]


def glance_line(status: DatabaseStatus, now: datetime) -> str:
    """Return the line of a database with its notes."""
    notes = [] if status.is_paused else reading_notes(status)
    return " ".join([status_line(status, now), *notes])


def status_line(status: DatabaseStatus, now: datetime) -> str:
    """Return the problems and numbers of a database in sentences."""
    return " ".join([*_problems(status, now), *_numbers(status, now)])


def _problems(status: DatabaseStatus, now: datetime) -> Iterator[str]:
    if status.problems:
        first = status.problems[0]
        parts = current_parts(first)
        yield spoken(parts, now)
        if status.status != "not_initialized":
            length = "" if len(parts) > 1 else f" ({age(now - first.since)})"
            at = f"{clock(first.since, now)} ({ago(now - first.since)})."
            since = f"Since {clock(first.since, now)}{length}."
            word = moment_word(first)
            yield f"{word} {at}" if word else since
        if "is_noted" in status.reading.detail:
            yield not_renewed(status.reading)
    elif status.verdict != rows_in_tables(status.reading):
        yield status.verdict
    if status.acknowledged:
        yield f"{acknowledged_by(status.acknowledged)}."
    if status.is_paused:
        yield PAUSED
    else:
        yield from (spoken(s, now) for s in other_problems(status.verdict, status.problems))


def _numbers(status: DatabaseStatus, now: datetime) -> Iterator[str]:
    reading = status.reading
    rows = plural(status.last_good.total_rows, "row") if status.last_good else ""
    if status.status == "error" and rows and rows not in status.verdict:
        yield f"Last seen {rows}."
    if status.status == "connected":
        if reading.last_modified:
            written_at = reading.last_modified
            # In trouble, the time is what one looks for in a log.
            has_clock = status.problems or status.is_stale
            when = clock(written_at, now) if has_clock else ago(now - written_at)
            yield f"Last write {when}."
        yield f"{rows_of(reading)}{_change(status, now)}."
        if line := check_line(status):
            yield spoken_line(line, now)
        yield from _pinned(status, now)
    if status.is_stale:
        yield f"As of {clock(reading.verified_at, now)}, {ago(now - reading.verified_at)}."


def _pinned(status: DatabaseStatus, now: datetime) -> Iterator[str]:
    """Yield each pinned measure that no problem names: Tasks by status: done 91, open 35."""
    named = {problem.measure for problem in status.problems if problem.code != "measure_failed"}
    for report in status.measures:
        measure = report.measure
        if not measure.is_pinned or measure.name in named:
            continue
        texts = [
            f"{value.label or ''} {value_text(value.number, measure.unit)}".lstrip()
            for value in report.shown
        ]
        shown = ", ".join(first_of(texts, MAX_VALUES)) or UNKNOWN
        if report.is_old and report.measured_at:
            shown += f" ({ago(now - report.measured_at)})"
        yield f"{measure.label}: {shown}."


def _change(status: DatabaseStatus, now: datetime) -> str:
    if status.change is None or status.activity is None:
        return ""
    since = status.activity.since
    period = "in 24 h" if status.activity.is_whole_day else f"since {clock(since, now)}"
    return f", {change(status.change)} {period}"
