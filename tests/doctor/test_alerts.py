"""What the doctor finds where faults are to be told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dash_app.alerts import receivers
from dash_app.doctor import Check, alerts, service
from dash_app.settings.alerts import AlertsSettings

SECRET = "s3cr3t"


@pytest.fixture
def told(tmp_path: Path) -> AlertsSettings:
    urls = tmp_path / "alerts.urls"
    urls.touch(0o600)
    urls.write_text(f"ntfys://ntfy.sh/{SECRET}\ntgram://123456789:{SECRET}{SECRET}{SECRET}/1\n")
    return AlertsSettings(urls_file=urls)


def found(settings: AlertsSettings) -> Check | None:
    return next(alerts.examine(settings), None)


def test_nothing_is_said_where_nobody_is_to_be_told() -> None:
    assert found(AlertsSettings()) is None


def test_receivers_are_named_by_scheme_and_host(told: AlertsSettings) -> None:
    text = "Faults are told to ntfys://ntfy.sh and tgram://."
    assert found(told) == Check("well", "alerts", text, alerts.NEXT)


def test_that_nothing_can_send_is_a_fault(
    told: AlertsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    check = found(told)
    assert check is not None
    assert (check.level, check.cure) == ("fault", "./ops/run alerts install")


def test_a_service_that_cannot_send_is_a_fault_until_it_is_installed_again(
    told: AlertsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "environment-ba98765"
    environment.mkdir()
    unit = tmp_path / "mission-control.service"
    unit.write_text(f'ExecStart="{environment}/bin/python" -m dash_app serve\n')
    monkeypatch.setattr(service, "UNIT_FILE", unit)
    check = found(told)
    assert check is not None
    assert (check.level, check.code, check.cure) == ("fault", "apprise_missing", "./ops/install")
    (environment / "alerts-from").touch()
    check = found(told)
    assert check is not None
    assert check.level == "well"


def test_a_url_that_nothing_can_be_sent_to_is_a_fault(told: AlertsSettings) -> None:
    assert told.urls_file is not None
    told.urls_file.write_text(f"nosuch://{SECRET}\nntfys://ntfy.sh/{SECRET}/and/others\n")
    _, check = alerts.examine(told)
    assert (check.level, check.code) == ("fault", "alerts_url_unknown")
    assert check.text.startswith("URL 1 (nosuch://) is not a URL")
    assert SECRET not in check.text


def test_several_targets_that_cannot_be_separated_are_asked_for_one_per_line(
    told: AlertsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told.urls_file is not None
    told.urls_file.write_text(f"ntfys://ntfy.sh/{SECRET}/and/others\n")
    monkeypatch.setattr(receivers, "_parts", lambda _plugin: [])
    _, check = alerts.examine(told)
    assert (check.level, check.code) == ("notice", "alerts_several_targets")
    assert check.cure == "Write one target per line."
