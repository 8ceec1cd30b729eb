"""Cut a notification to what its receiver takes, by bytes, and so by characters too.

What a reader needs stays whole as long as it can: the short lines, which hold since when, what to
do, the page's address and the notification's id. The longest lines are cut first.
"""

from __future__ import annotations

import re
import unicodedata

from dash_app.words.numbers import one_line

MAX_TITLE_BYTES = 200
MAX_BODY_BYTES = 1_900
"""Discord takes 2,000 characters, also behind a webhook of which apprise knows no limit. ntfy makes
a file of more than 4,096 bytes, and Telegram refuses more than 4,096 characters."""

MIN_LINE_BYTES = 24
"""A line that is cut to less says nothing: it is left out."""

MORE = "…"
JOINERS = "\u200d\ufe0e\ufe0f"


def cut(text: str, max_bytes: int) -> str:
    """Return a text of at most that many bytes of UTF-8, with "…" in place of what is missing."""
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    room = max_bytes - len(MORE.encode())
    if room <= 0:
        return ""
    head = encoded[:room].decode(errors="ignore").rstrip()
    while head and (head[-1] in JOINERS or unicodedata.combining(head[-1])):
        head = head[:-1]
    return head + MORE


def fit(title: str, body: str, max_title: int, max_body: int) -> tuple[str, str]:
    """Return a title and a body that a receiver takes, by its limits in characters.

    A title that has no place of its own (`max_title` is 0) stands in the body. A limit of the body
    that is not positive is none.
    """
    limit = min(max_body, MAX_BODY_BYTES) if max_body > 0 else MAX_BODY_BYTES
    title = cut(
        one_line(title[:MAX_BODY_BYTES]),
        min(max_title or MAX_TITLE_BYTES, MAX_TITLE_BYTES, limit // 2),
    )
    lines = [one_line(line[:MAX_BODY_BYTES]) for line in body.splitlines()]
    return title, _fit_lines(lines, limit - len(title.encode()) - 2)


def _fit_lines(lines: list[str], max_bytes: int) -> str:
    """Return lines of at most that many bytes: the longest are cut, then the last left out."""
    while lines:
        sizes = [_size(line) for line in lines if not _is_whole(line)]
        room = max_bytes - len(lines) + 1 - sum(_size(line) for line in lines if _is_whole(line))
        longest = _longest(sizes, room)
        if room >= 0 and longest >= min(MIN_LINE_BYTES, max(sizes, default=0)):
            return "\n".join(line if _is_whole(line) else cut(line, longest) for line in lines)
        lines = _without_one(lines)
    return ""


def _longest(sizes: list[int], room: int) -> int:
    """Return how long a line may be, so that all fit into a room."""
    for number, size in enumerate(sorted(sizes)):
        share = room // (len(sizes) - number)
        if size > share:
            return share
        room -= size
    return max(sizes, default=0)


def _without_one(lines: list[str]) -> list[str]:
    """Return lines without the last one that may be cut, or without the first that may not."""
    rest = [number for number, line in enumerate(lines) if not _is_whole(line)]
    left_out = rest[-1] if len(rest) > 1 or len(rest) == len(lines) else 1 - min(rest, default=1)
    return [line for number, line in enumerate(lines) if number != left_out]


def _size(line: str) -> int:
    return len(line.encode())


def _is_whole(line: str) -> bool:
    """Whether a line is of no use once it is cut: an address, or the notification's id."""
    return line.startswith(("http://", "https://")) or bool(re.search(r"\([0-9a-f]{8}\)$", line))
