"""Measures that `suggest` proposes: those of packs, and others by the names of columns.

Each is tried once, by the process that asks for measures and within its limits.
"""

import tomllib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dash_app.airlock.finder import Finder
from dash_app.airlock.measurer import Measurer
from dash_app.cli.terminal import printable
from dash_app.model.database import Database
from dash_app.model.measure import Answer, Measure, MeasureKind
from dash_app.model.reading import Reading
from dash_app.model.schema import Schema
from dash_app.rules.suggestions import Candidate, candidates
from dash_app.settings.measures import FOREIGN_KEYS, MAX_MEASURES
from dash_app.settings.packs import packs
from dash_app.settings.toml_edit import toml_string
from dash_app.words.measures import explain

SECONDS = 60.0
"""Maximum time to try the measures of one database. Beside a writer, each is followed by a rest."""

MAX_PROPOSED = 20
"""Maximum number of measures proposed at once for an entry of the configuration."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings of a measure as TOML, or what they are made from, and a query that tries it."""

    name: str
    source: str | Candidate
    kind: MeasureKind
    sql: str = ""

    @property
    def probe(self) -> Measure:
        """The query as a measure."""
        return Measure(self.name, self.name, timedelta(minutes=1), self.kind, self.sql)

    def toml(self, answer: Answer) -> str | None:
        """Return the settings as TOML; None if the measure is not worth having, or has no value.

        If there was no moment to read, the names of the columns must do.
        """
        is_busy = bool(answer.failure and answer.failure.code == "waits")
        number = int(answer.values[0].number or 0) if answer.values else None
        shown = "not counted, since it is being written" if number is None else str(number)
        if isinstance(self.source, str):
            return self.source.replace("{}", shown) if answer.values or is_busy else None
        queries = self.source.queries
        query = queries.get(number) if number is not None else None
        if is_busy and len({*queries.values()}) == 1:
            query = next(iter(queries.values()))
        if query is None:
            return None
        settings = {"name": self.name, "sql": query, **self.source.settings}
        lines = (
            f"{key} = {value if isinstance(value, int) else toml_string(value)}"
            for key, value in settings.items()
            if value != ""
        )
        return "\n".join([f"# {printable(self.source.reason.replace('{}', shown))}", *lines])


def propose_measures(databases: Iterable[Database]) -> tuple[list[str], list[str]]:
    """Return the measures to add to an entry, as TOML, and remarks on what cannot be had.

    The measures of a pattern apply to all of its databases, so that each must have them.
    """
    common: dict[str, str] | None = None
    remarks: list[str] = []
    known = 0
    for database in databases:
        proposals, failed = _of_database(database)
        remarks += failed
        known = max(known, len(database.measures))
        common = {name: text for name, text in (common or proposals).items() if name in proposals}
    texts = [*(common or {}).values()][: max(0, min(MAX_PROPOSED, MAX_MEASURES - known))]
    if common and len(texts) < len(common):
        remarks.append(f"{len(common) - len(texts)} more measures are not proposed at once")
    return texts, remarks


def _of_database(database: Database) -> tuple[dict[str, str], list[str]]:
    """Return the measures for a database, as TOML by name, and remarks."""
    finder = Finder({"folders": [str(database.path)], "schema": True})
    finder.wait()
    schema = next(iter(finder.schemas.values()), None)
    if schema is None:
        return {}, [f"{database.name}: no measures, because its tables cannot be read now"]
    known = {text for measure in database.measures for text in (measure.name, measure.sql)}
    proposals: dict[str, Proposal] = {}
    for own in _proposals(schema):
        if own.name not in known:
            proposals.setdefault(own.name, own)
    probes = tuple(own.probe for own in proposals.values())
    now = datetime.now(UTC)
    with closing(Measurer([replace(database, measures=probes)], 1.0, {})) as measurer:
        measurer.finish({database.name: Reading(now, now)}, SECONDS)
        answers = measurer.answers(database.name)
    found: dict[str, str] = {}
    remarks: list[str] = []
    for name, proposal in proposals.items():
        answer = answers[name]
        if text := proposal.toml(answer):
            found |= {name: text} if tomllib.loads(text).get("sql") not in known else {}
        elif answer.failure:
            remarks.append(printable(f"{database.name} {name}: {explain(answer.failure)}"))
    return found, remarks


def _proposals(schema: Schema) -> Iterator[Proposal]:
    """Yield what may be proposed, packs first."""
    covered: set[str] = set()
    for pack in packs():
        if pack.fits(schema):
            covered |= pack.tables.keys()
            for text in pack.measures:
                settings = tomllib.loads(text)
                lines = f"# From the pack {pack.name}.\n{text}"
                yield Proposal(settings["name"], lines, "no_rows", settings["sql"])
    if schema.references:
        reason = "# It has foreign keys. Rows whose parent is missing: {}"
        yield Proposal(FOREIGN_KEYS, f"{reason}\nforeign_keys = true", "foreign_keys")
    for own in candidates(schema, covered):
        yield Proposal(own.name, own, "number", own.probe)
