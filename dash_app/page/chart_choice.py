"""What the charts show and how far back, by the URL, and the links to other choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from dash import html
from dash.development.base_component import Component

from dash_app.page.url_query import parse
from dash_app.page.widgets import aria, choices


@dataclass(frozen=True, slots=True)
class Range:
    """How far back the charts reach; frequency and format of the times below, format of others."""

    key: str
    label: str
    reach: timedelta
    tick_frequency: str
    tick_format: str
    time_format: str


RANGES = (
    Range("1h", "1 h", timedelta(hours=1), "15min", "%H:%M", "%H:%M"),
    Range("6h", "6 h", timedelta(hours=6), "2h", "%H:%M", "%H:%M"),
    Range("24h", "24 h", timedelta(hours=24), "6h", "%H:%M", "%H:%M"),
    Range("7d", "7 d", timedelta(days=7), "2D", "%-d %b", "%-d %b, %H:%M"),
    Range("30d", "30 d", timedelta(days=30), "7D", "%-d %b", "%-d %b, %H:%M"),
    Range("1y", "1 y", timedelta(days=365), "QS", "%b", "%-d %b"),
)
DEFAULT_RANGE = RANGES[2]
COMPARED = {"7d", "30d"}
"""Ranges that are drawn together with the span before them."""


WRITTEN, ROWS, MEASURES = "", "rows", "measures"
"""Values of the URL's `show`. Another one is the metric of a measure, `measure:open_tasks`."""

SHOWS = {WRITTEN: "Rows written", ROWS: "Rows"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the charts show and how far back. It is part of the URL."""

    range: Range
    show: str
    offered: tuple[Range, ...]
    """The ranges up to the shortest that holds the whole history."""
    shows: Mapping[str, str]
    """The texts of what can be shown."""

    @property
    def is_rate(self) -> bool:
        """Whether they show rows written, as bars."""
        return self.show == WRITTEN

    @property
    def is_measure(self) -> bool:
        """Whether they show measures."""
        return self.show not in SHOWS

    @property
    def metric(self) -> str:
        """The metric of the history that they show; empty for several measures."""
        return {WRITTEN: "inserted", MEASURES: ""}.get(self.show, self.show)

    @classmethod
    def from_search(
        cls,
        search: str | None,
        age: timedelta = timedelta.max,
        shows: Mapping[str, str] = SHOWS,
    ) -> Choice:
        """Parse a URL's query for a history of this age; anything unknown is the default."""
        query = parse(search)
        longest = next((option for option in RANGES if option.reach >= age), RANGES[-1])
        default = min(longest, DEFAULT_RANGE, key=lambda option: option.reach)
        chosen = next((option for option in RANGES if option.key == query.get("range")), default)
        end = max(longest.reach, chosen.reach)
        offered = tuple(option for option in RANGES if option.reach <= end)
        show = query.get("show", WRITTEN)
        return cls(chosen, show if show in shows else WRITTEN, offered, shows)


def choice_links(choice: Choice, search: str | None) -> Component:
    """Return two rows of links: what to show, and how far back. The page's script follows them."""
    ranges = {option.key: option.label for option in choice.offered}
    shown = choices("show", choice.shows, choice.show, search)
    links = [shown, choices("range", ranges, choice.range.key, search)]
    return html.Nav(links, **aria(label="What the charts show"))
