"""The running service: sampler, application and listeners, controlled by signals."""

import gc
import logging
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Literal

from dash_app.alerts.heartbeat import Heartbeat
from dash_app.history.writer import History
from dash_app.sampler import Sampler
from dash_app.service.first_search import FirstSearch
from dash_app.service.matching import PatternSearch, over, with_files
from dash_app.settings import Settings, SettingsError
from dash_app.settings.patterns import with_found
from dash_app.system import network, self_probe, systemd
from dash_app.system.logging_setup import describe_error
from dash_app.system.network import Address
from dash_app.web.app import create_server
from dash_app.web.listeners import Listeners
from dash_app.words import numbers

LOOP_SECONDS = 2.0
"""Interval between checks of the addresses to serve."""

PINGS_PER_TIMEOUT = 3
"""Number of watchdog pings within the time after which systemd would restart the service."""

ANSWER_SECONDS = 5.0
LOAD_SECONDS = 10.0
"""Maximum time to read the configuration, and the files to which it refers, in a reload."""

Action = Literal["stop", "reload"]

log = logging.getLogger(__name__)


class Service:
    """Runs sampler and listeners. For the main thread only, which alone receives signals."""

    def __init__(
        self,
        settings: Settings,
        history: History,
        sampler: Sampler,
        sockets: Mapping[Address, socket.socket],
    ) -> None:
        """Start to serve listening sockets, and install the signal handlers for `run`."""
        # All objects loaded so far stay: a garbage collection of them would delay answers by 50 ms.
        gc.freeze()
        gc.enable()
        self._settings, self._history, self._sampler = settings, history, sampler
        self._actions: SimpleQueue[Action] = SimpleQueue()
        self._install_signal_handlers()
        self._ping_due = 0.0
        self._is_ready = False
        self._reported_links = ""
        self._started_at = datetime.now(UTC)
        app = create_server(settings, sampler, self._started_at)
        self._listeners = Listeners(app, settings.server, sockets)
        self._heartbeat = self._start_heartbeat(settings)
        self._search, self._first_search = PatternSearch(), FirstSearch(settings)

    def run(self, load: Callable[[], Settings]) -> None:
        """Serve until SIGTERM or SIGINT. On SIGHUP, apply the settings that `load` returns."""
        action: Action | None = None
        while action != "stop":
            if action == "reload":
                self._reload(load)
            self._update_matches()
            self._sampler.found = self._first_search.poll() or self._sampler.found
            if not self._sampler.is_running:  # a failed reload stopped it
                self._resume()
            self._listeners.sync_addresses()
            self._report_to_systemd()
            action = self._next_action()
        self._stop()

    def _resume(self) -> None:
        """Let the sampler continue. If no thread is left, that is tried again."""
        try:
            self._sampler.resume()
        except RuntimeError as error:
            log.error("readings cannot continue yet: %s", error)

    def _install_signal_handlers(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._actions.put("stop"))
        signal.signal(signal.SIGINT, lambda *_: self._actions.put("stop"))
        # A closed terminal sends SIGHUP too, and then the service must stop.
        hang_up: Action = "stop" if sys.stdin and sys.stdin.isatty() else "reload"
        signal.signal(signal.SIGHUP, lambda *_: self._actions.put(hang_up))

    def _reload(self, load: Callable[[], Settings]) -> None:
        """Apply new settings without losing a request, or keep the current ones."""
        systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            requested = _load(load)
            self._apply(with_files(requested.with_matches(self._settings.matches)))
        except SettingsError as error:
            for line in str(error).splitlines():
                log.error("reload rejected, keeping the current settings: %s", line)
        except Exception as error:  # noqa: BLE001 - a reload must not end the service
            log.error("reload rejected, keeping the current settings: %s", describe_error(error))
        systemd.notify("READY=1")

    def _update_matches(self) -> None:
        """Watch the files that patterns match now. If that fails, it is tried again."""
        found = self._search.poll(self._settings)
        if found is None:
            return
        updated = with_found(self._settings, found, over(self._sampler.snapshot))
        if updated.matches == self._settings.matches:
            self._settings, self._sampler.patterns = updated, updated.patterns
            return
        try:
            self._apply(updated)
        except Exception as error:  # noqa: BLE001 - the service goes on with the files it has
            log.error("keeping the current files of patterns: %s", describe_error(error))

    def _apply(self, requested: Settings) -> None:
        """Apply the requested settings, except that port and history stay as they are."""
        if self._settings.names_databases and not requested.names_databases:
            text = "lists no databases; is it empty or gone? Restart to watch the default five."
            raise SettingsError(f"{requested.source}: {text}")
        port, history = self._settings.server.port, self._settings.history
        server = requested.server.model_copy(update={"port": port})
        settings = requested.model_copy(update={"server": server, "history": history})
        if not self._sampler.stop(for_good=False):
            raise SettingsError("the current reading does not finish; reload again later.")
        try:
            sampler = Sampler(settings, self._history, inbox=self._sampler.inbox)
            sampler.found = self._sampler.found
        except sqlite3.Error as error:
            text = f"{self._sampler.history_paused or error} Reload again later, or restart."
            raise SettingsError(f"the history cannot be read. {text}") from None
        sampler.start()
        try:
            sampler.first_snapshot.wait(ANSWER_SECONDS)
            app = create_server(settings, sampler, self._started_at)
            self._listeners.reload(app, settings.server)
        except BaseException:
            sampler.stop()
            raise
        self._settings, self._sampler = settings, sampler
        self._heartbeat.stop()
        self._heartbeat = self._start_heartbeat(settings)
        watching = numbers.plural(len(settings.databases), "database")
        pending = ["[history]"] * (requested.history != history)
        pending += ["[server] port"] * (requested.server.port != port)
        note = f"; restart to apply {' and '.join(pending)}" if pending else ""
        log.info("reloaded: watching %s%s", watching, note)

    def _start_heartbeat(self, settings: Settings) -> Heartbeat:
        """Return a running heartbeat, which is sent only while readings are fresh."""
        heartbeat = Heartbeat(settings.watch, lambda: self._sampler.fresh() is not None)
        heartbeat.start()
        return heartbeat

    def _stop(self) -> None:
        """Answer the current requests while the sampler finishes its tick."""
        systemd.notify("STOPPING=1")
        self._heartbeat.stop()
        self._search.close()
        self._first_search.close()
        self._listeners.stop()
        self._sampler.stop()
        self._listeners.join()

    def _next_action(self) -> Action | None:
        """Wait for signals, at most `LOOP_SECONDS`. Several reloads count as one."""
        try:
            actions = {self._actions.get(timeout=LOOP_SECONDS)}
            while not self._actions.empty():
                actions.add(self._actions.get())
        except Empty:
            return None
        return "stop" if "stop" in actions else "reload"

    def _report_to_systemd(self) -> None:
        """Report readiness once, the served links when they change, and that the service runs."""
        if not self._is_ready and self._answers():
            self._is_ready = True
            systemd.notify("READY=1")
        port = self._settings.server.port
        links = " ".join(network.page_url(address, port) for address in self._listeners.addresses)
        if links != self._reported_links:
            self._reported_links = links
            systemd.notify(f"STATUS=Serving {links}")
        self._ping_watchdog()

    def _ping_watchdog(self) -> None:
        timeout_seconds, now = systemd.watchdog_seconds(), time.monotonic()
        if timeout_seconds is None or now < self._ping_due:
            return
        self._ping_due = now + timeout_seconds / PINGS_PER_TIMEOUT
        if self._sampler.overdue_seconds > timeout_seconds:
            log.error("readings have stalled; waiting for systemd to restart the service")
        elif not self._answers():
            log.error("our page does not answer; waiting for systemd to restart the service")
        else:
            systemd.notify("WATCHDOG=1")

    def _answers(self) -> bool:
        """Whether a request on this machine gets any answer; True if no local address is served."""
        local = [a for a in self._listeners.addresses if a.is_loopback or a.is_unspecified]
        for address in local[:1]:
            try:
                self_probe.get(address, self._settings.server.port, "/health", ANSWER_SECONDS)
            except OSError:
                return False
        return True


def _load(load: Callable[[], Settings]) -> Settings:
    """Return new settings. Raise SettingsError if they are unusable or take too long to read."""
    results: SimpleQueue[Settings | Exception] = SimpleQueue()

    def run() -> None:
        try:
            results.put(load())
        except Exception as error:  # noqa: BLE001 - raised below
            results.put(error)

    # In a thread, because a file on a hung mount would block signal handling.
    Thread(target=run, daemon=True).start()
    try:
        result = results.get(timeout=LOAD_SECONDS)
    except Empty:
        text = f"its files were not read within {LOAD_SECONDS:g} s: a disk or mount may hang."
        raise SettingsError(text) from None
    if isinstance(result, Exception):
        raise result
    return result
