"""Checks of `doctor` for notifications."""

import sys
from pathlib import Path

import pytest

from dash_app.alerts import receivers
from dash_app.doctor import Check, alerts, service
from dash_app.settings.schema import AlertsSettings

SECRET = "s3cr3t"


@pytest.fixture
def configured(tmp_path: Path) -> AlertsSettings:
    urls = tmp_path / "alerts.urls"
    urls.touch(0o600)
    urls.write_text(f"ntfys://ntfy.sh/{SECRET}\ntgram://123456789:{SECRET}{SECRET}{SECRET}/1\n")
    return AlertsSettings(urls_file=urls)


def first_check(settings: AlertsSettings) -> Check | None:
    return next(alerts.examine(settings), None)


def test_nothing_is_checked_without_receivers() -> None:
    assert first_check(AlertsSettings()) is None


def test_receivers_are_shown_by_scheme_and_host(configured: AlertsSettings) -> None:
    text = "Notifications are sent to ntfys://ntfy.sh and tgram://."
    assert first_check(configured) == Check("well", "alerts", text, alerts.TEST)


def test_missing_apprise_is_a_fault(
    configured: AlertsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    check = first_check(configured)
    assert check is not None
    assert (check.level, check.cure) == ("fault", "./ops/run alerts install")


def test_a_service_without_apprise_is_a_fault_until_it_is_installed_again(
    configured: AlertsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "environment-ba98765"
    environment.mkdir()
    unit = tmp_path / "mission-control.service"
    unit.write_text(f'ExecStart="{environment}/bin/python" -m dash_app serve\n')
    monkeypatch.setattr(service, "UNIT_FILE", unit)
    check = first_check(configured)
    assert check is not None
    assert (check.level, check.code, check.cure) == ("fault", "apprise_missing", "./ops/install")
    (environment / "alerts-from").touch()
    check = first_check(configured)
    assert check is not None
    assert check.level == "well"


def test_an_unknown_url_is_a_fault(configured: AlertsSettings) -> None:
    assert configured.urls_file is not None
    configured.urls_file.write_text(f"nosuch://{SECRET}\nntfys://ntfy.sh/{SECRET}/and/others\n")
    _, check = alerts.examine(configured)
    assert (check.level, check.code) == ("fault", "alerts_url_unknown")
    assert check.text.startswith("URL 1 (nosuch://) is not a URL")
    assert SECRET not in check.text


def test_inseparable_targets_are_reported(
    configured: AlertsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert configured.urls_file is not None
    configured.urls_file.write_text(f"ntfys://ntfy.sh/{SECRET}/and/others\n")
    monkeypatch.setattr(receivers, "_split", lambda _plugin: [])
    _, check = alerts.examine(configured)
    assert (check.level, check.code) == ("notice", "alerts_several_targets")
    assert check.cure == "Write one target per line."
