"""Whether those who are to be told of faults can be told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from dash_app.doctor.check import Check
from dash_app.doctor.service import INSTALL, unit_file
from dash_app.settings.alerts import AlertsSettings
from dash_app.system.secret_files import redact, urls_in
from dash_app.words import numbers

APPRISE = "Compare it with the examples in the wiki of apprise, and try ./ops/run alerts test"
NEXT = "./ops/run alerts test says whether messages arrive."


def examine(alerts: AlertsSettings) -> Iterator[Check]:
    """Yield whether messages can be sent, where any are to be."""
    if alerts.urls_file is None:
        return
    if find_spec("apprise") is None:
        text = "Nobody is told of faults: apprise, which sends messages, is not installed."
        yield Check("fault", "apprise_missing", text, "./ops/run alerts install")
    elif bare := _bare_environment():
        text = f"The service tells nobody of faults: {numbers.short_path(bare)} has no apprise."
        yield Check("fault", "apprise_missing", text, INSTALL)
    else:
        urls = urls_in(alerts.urls_file)
        text = f"Faults are told to {numbers.join_names([redact(url) for url in urls])}."
        yield Check("well", "alerts", text, NEXT)
        yield from _urls(urls)


def _urls(urls: Iterable[str]) -> Iterator[Check]:
    """Yield the URLs that apprise does not know, or that name several receivers."""
    # Imported here, because apprise takes 47 MB and most of a second.
    receivers = import_module("dash_app.alerts.receivers")
    for number, url in enumerate(urls, 1):
        which = f"URL {number} ({redact(url)})"
        found = list(receivers.of(url))
        if any(one.plugin is None for one in found):
            text = f"{which} is not a URL of a receiver that apprise knows: nothing is sent there."
            yield Check("fault", "alerts_url_unknown", text, APPRISE)
        elif not all(one.is_one for one in found):
            text = f"{which} names several receivers, which cannot be told apart if one fails."
            yield Check("notice", "alerts_several_targets", text, "Write one target per line.")


def _bare_environment() -> Path | None:
    """Return the environment of the installed service, if that cannot send."""
    file = unit_file()
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    found = re.search(r"/[^\"\s]*/environment-[0-9a-f]+", text)
    folder = Path(found[0]) if found else None
    return folder if folder and not (folder / "alerts-from").is_file() else None
