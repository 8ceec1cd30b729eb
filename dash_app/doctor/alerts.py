"""Whether notifications can be sent."""

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from dash_app.doctor.check import Check
from dash_app.doctor.service import unit_file
from dash_app.settings.schema import AlertsSettings
from dash_app.system.secret_files import read_urls, redact
from dash_app.words import numbers
from dash_app.words.commands import INSTALL, RUN

APPRISE = f"Compare it with the examples in apprise's wiki, then run {RUN} alerts test"
TEST = f"{RUN} alerts test shows whether notifications arrive."


def examine(alerts: AlertsSettings) -> Iterator[Check]:
    """Yield whether notifications can be sent; nothing if no receiver is configured."""
    if alerts.urls_file is None:
        return
    if find_spec("apprise") is None:
        text = "No notifications are sent: apprise, which sends them, is not installed."
        yield Check("fault", "apprise_missing", text, f"{RUN} alerts install")
    elif bare := _bare_environment():
        text = f"The service sends no notifications: {numbers.short_path(bare)} has no apprise."
        yield Check("fault", "apprise_missing", text, INSTALL)
    else:
        urls = read_urls(alerts.urls_file)
        text = f"Notifications are sent to {numbers.join_names([redact(url) for url in urls])}."
        yield Check("well", "alerts", text, TEST)
        yield from _urls(urls)


def _urls(urls: Iterable[str]) -> Iterator[Check]:
    """Yield URLs that apprise does not know, and those of several inseparable receivers."""
    # apprise takes 47 MB and most of a second to import.
    receivers = import_module("dash_app.alerts.receivers")
    for number, url in enumerate(urls, 1):
        name = f"URL {number} ({redact(url)})"
        found = list(receivers.receivers_in(url))
        if any(receiver.plugin is None for receiver in found):
            text = f"{name} is not a URL that apprise knows: nothing is sent there."
            yield Check("fault", "alerts_url_unknown", text, APPRISE)
        elif not all(receiver.is_single for receiver in found):
            text = f"{name} names several receivers that cannot be retried separately."
            yield Check("notice", "alerts_several_targets", text, "Write one target per line.")


def _bare_environment() -> Path | None:
    """Return the environment of the installed service if it lacks apprise."""
    file = unit_file()
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    found = re.search(r"/[^\"\s]*/environment-[0-9a-f]+", text)
    folder = Path(found[0]) if found else None
    return folder if folder and not (folder / "alerts-from").is_file() else None
