"""A pattern without a match, or with too many, is said calmly on every face."""

import tomllib
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from dash_app import settings
from dash_app.api.serializers import status_document
from dash_app.cli.service_status import snapshot_from
from dash_app.cli.status import exit_code, lines
from dash_app.doctor import examine
from dash_app.history.writer import History
from dash_app.model.match import Pattern
from dash_app.model.reading import Code, LastGood
from dash_app.model.snapshot import Snapshot
from dash_app.sampler import Sampler
from dash_app.service.matching import over, with_files
from dash_app.settings.patterns import with_found
from dash_app.system.exit_codes import ExitCode
from dash_app.web.app import create_server
from dash_app.words.errors import LEFT_OUT, explain_error
from dash_app.words.summaries import pattern_note, pattern_notes
from tests import factories
from tests.factories import NOW

ENTRY = '[[databases]]\nname = "a"\npath = "*.db"'
NOTE = "No database for {}/*/a.db yet."


def test_without_any_database_every_face_says_what_is_awaited(tmp_path: Path) -> None:
    text = f'[history]\npath = "h.db"\n[[databases]]\nname = "a"\npath = "{tmp_path}/*/a.db"\n'
    configured = with_files(settings.parse(tomllib.loads(text), tmp_path / "config.toml"))
    note = NOTE.format(tmp_path)
    with closing(History(configured.history)) as history:
        sampler = Sampler(configured, history)
        snapshot = sampler.tick()
        client = create_server(configured, sampler, datetime.now(UTC)).test_client()
        for path in ("/", "/glance", "/metrics", "/_dash-layout", "/api/history"):
            assert client.get(path).status_code == 200
        for path in ("/", "/glance"):
            assert note in client.get(path, headers={"Accept": "text/html"}).text
        sampler.finish()
    document = status_document(snapshot)
    assert (document["headline"], document["level"]) == ("Nothing here yet", "well")
    assert snapshot_from(document).patterns == configured.patterns
    assert [*lines(snapshot, snapshot.taken_at, is_fresh=True)][1:] == [note]
    assert exit_code(snapshot) == ExitCode.WELL
    (check,) = [check for check in islice(examine(configured), 2) if check.code == "pattern"]
    assert (check.level, check.text) == ("notice", note)
    found = {configured.patterns[0].path: [tmp_path / "x" / "a.db"]}
    checks = list(islice(examine(with_found(configured, found)), 2))
    assert ("well", f"1 file matches {tmp_path}/*/a.db.") in [
        (one.level, one.text) for one in checks
    ]


@pytest.mark.parametrize("code", ["file_missing", "folder_missing", "not_a_file"])
def test_a_match_that_is_gone_is_left_out_once_a_person_knows(code: Code) -> None:
    match = replace(factories.database(), is_match=True)
    good, reading = LastGood(NOW, 1, 1), factories.failed_reading(code)
    _cause, remedy = explain_error(code, {}, match, good, factories.WORDING)
    assert remedy.startswith(LEFT_OUT)
    assert LEFT_OUT not in explain_error(code, {}, match, None, factories.WORDING)[1]
    known = factories.status(match, reading, level="well")
    assert over(Snapshot(NOW, (known,))) == {"email"}
    assert over(Snapshot(NOW, (factories.status(match, reading),))) == set()


def test_files_beyond_the_maximum_are_counted_and_a_hung_search_is_said() -> None:
    beyond = Pattern("a", "/srv/*.db", 200, 1000)
    assert pattern_note(beyond) == "1,200 files match /srv/*.db, 1,000 of them not watched."
    (hung,) = with_found(settings.parse(tomllib.loads(ENTRY), Path("/srv/c.toml")), {}).patterns
    text = "New files of /srv/*.db are not seen: this user may not list its folders, or they hang."
    assert pattern_notes([hung]) == [text]
