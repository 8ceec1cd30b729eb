"""Cut a notification to the limits of its receiver.

The longest lines are cut first. The short ones, which a person needs most, stay whole as long as
possible: the start, the remedy, the link and the notification's id. Characters are limited by bytes
of UTF-8, which are never fewer.
"""

import re
import unicodedata

from dash_app.words.numbers import one_line

MAX_TITLE_BYTES = 200
MAX_BODY_BYTES = 1_900
"""Discord accepts 2,000 characters, also behind a webhook whose limit apprise does not know. ntfy
turns more than 4,096 bytes into a file, and Telegram rejects more than 4,096 characters."""

MIN_LINE_BYTES = 24
"""A line that would be cut to less is left out, because it would say nothing."""

MORE = "…"
JOINERS = "\u200d\ufe0e\ufe0f"


def cut(text: str, max_bytes: int) -> str:
    """Cut a text to a number of bytes, and mark the cut with "…"."""
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
    """Return a title and a body within the limits of a receiver, in characters.

    If `max_title` is 0, the title is sent as part of the body. A `max_body` that is not positive
    means that the limit is unknown.
    """
    limit = min(max_body, MAX_BODY_BYTES) if max_body > 0 else MAX_BODY_BYTES
    title = cut(
        one_line(title[:MAX_BODY_BYTES]),
        min(max_title or MAX_TITLE_BYTES, MAX_TITLE_BYTES, limit // 2),
    )
    lines = [one_line(line[:MAX_BODY_BYTES]) for line in body.splitlines()]
    return title, _fit_lines(lines, limit - len(title.encode()) - 2)


def _fit_lines(lines: list[str], max_bytes: int) -> str:
    """Cut the longest lines until all fit; if that is not enough, leave out the last ones."""
    while lines:
        sizes = [len(line.encode()) for line in lines if not _is_whole(line)]
        room = max_bytes - len("\n".join(lines).encode()) + sum(sizes)
        longest = _max_line_bytes(sizes, room)
        if room >= 0 and longest >= min(MIN_LINE_BYTES, max(sizes, default=0)):
            return "\n".join(line if _is_whole(line) else cut(line, longest) for line in lines)
        lines = _without_least_important(lines)
    return ""


def _max_line_bytes(sizes: list[int], room: int) -> int:
    """Return the longest line for which lines of these sizes, cut to it, fit into the room."""
    for number, size in enumerate(sorted(sizes)):
        share = room // (len(sizes) - number)
        if size > share:
            return share
        room -= size
    return max(sizes, default=0)


def _without_least_important(lines: list[str]) -> list[str]:
    """Leave out the last line that may be cut; if it is the only one, the first that may not."""
    cuttable = [number for number, line in enumerate(lines) if not _is_whole(line)]
    has_several = len(cuttable) > 1 or len(cuttable) == len(lines)
    left_out = cuttable[-1] if has_several else 1 - min(cuttable, default=1)
    return [line for number, line in enumerate(lines) if number != left_out]


def _is_whole(line: str) -> bool:
    """Whether a line is useless when cut: a URL, or the notification's id."""
    return line.startswith(("http://", "https://")) or bool(re.search(r"\([0-9a-f]{8}\)$", line))
