"""Heartbeats are sent only while readings are fresh."""

from datetime import timedelta
from pathlib import Path

from dash_app.alerts.heartbeat import Heartbeat
from dash_app.settings.schema import WatchSettings
from tests.harness import Served, eventually, make_database, write_config
from tests.receivers import Monitor

SECRET = "s3cr3t"


def test_heartbeats_are_sent_while_databases_are_read(tmp_path: Path) -> None:
    url = tmp_path / "heartbeat"
    url.touch(0o600)
    database = make_database(tmp_path / "email.db", messages=3)
    watch = 'heartbeat_file = "heartbeat"\nheartbeat_every = "1s"'
    config = write_config(tmp_path, [("email", database)], watch=watch)
    with Monitor() as monitor:
        url.write_text(f"http://localhost:{monitor.port}/{SECRET}")
        with Served(config) as served:
            eventually(lambda: monitor.beats > 1)
            assert monitor.paths == {f"/{SECRET}"}
            monitor.code = 404
            eventually(lambda: "heartbeat: http://localhost answered 404" in served.log)
            beats = monitor.beats
            eventually(lambda: monitor.beats > beats)
            monitor.code = 200
            eventually(lambda: "heartbeat: works again" in served.log)
    assert served.log.count("answered 404") == 1
    assert SECRET not in served.log


def test_no_heartbeat_is_sent_without_fresh_readings(tmp_path: Path) -> None:
    answers: list[bool] = []
    stale = iter([False] * 5)
    url = tmp_path / "heartbeat"
    url.touch(0o600)

    def is_fresh() -> bool:
        answers.append(next(stale, True))
        return answers[-1]

    with Monitor() as monitor:
        url.write_text(f"http://localhost:{monitor.port}/")
        often = timedelta(milliseconds=5)
        watch = WatchSettings.model_construct(heartbeat_file=url, heartbeat_every=often)
        heartbeat = Heartbeat(watch, is_fresh)
        heartbeat.start()
        eventually(lambda: monitor.beats)
        heartbeat.stop()
        assert answers[:6] == [False] * 5 + [True]
        assert monitor.beats <= answers.count(True)
