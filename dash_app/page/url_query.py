"""The query of the URL: range and series of the charts, order of a table, filter of the list."""

from urllib.parse import parse_qsl, urlencode

PARAMETERS = ("range", "show", "sort", "name", "state")


def parse(search: str | None) -> dict[str, str]:
    """Return the known parameters of a query; of one that is given twice, the last value."""
    given = dict(parse_qsl((search or "").removeprefix("?")))
    return {name: given[name] for name in PARAMETERS if name in given}


def with_values(search: str | None, **values: str) -> str:
    """Return the query with these parameters replaced, or left out if their value is empty.

    The other known parameters stay. A link to "?" leads to the page without a query.
    """
    kept = {name: value for name, value in (parse(search) | values).items() if value}
    return f"?{urlencode(kept, errors='replace')}"
