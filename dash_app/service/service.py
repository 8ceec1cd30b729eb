"""The service while it runs: sampler, application and listeners, and what signals do to them."""

from __future__ import annotations

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
from dash_app.settings import Settings, SettingsError
from dash_app.system import network, self_probe, systemd
from dash_app.system.logging_setup import describe_error
from dash_app.system.network import Address
from dash_app.web.app import create_server
from dash_app.web.listeners import Listeners
from dash_app.words import numbers

BEAT_SECONDS = 2.0
"""How often addresses are looked at."""

SIGNS_IN_TIME = 3
"""So many signs of life are given in the time after which the service manager would miss one."""

ANSWER_SECONDS = 5.0
LOAD_SECONDS = 10.0
"""Maximum time for reading the configuration and the files that it names, in a reload."""

Action = Literal["stop", "reload"]

log = logging.getLogger(__name__)


class Service:
    """The running whole. For one thread, which is the main one: it alone hears signals."""

    def __init__(
        self,
        settings: Settings,
        history: History,
        sampler: Sampler,
        sockets: Mapping[Address, socket.socket],
    ) -> None:
        """Begin to answer at sockets that listen already, and to hear signals for `run`."""
        # What is loaded by now stays: to look through all of it takes 50 ms, of every answer then.
        gc.freeze()
        gc.enable()
        self._settings, self._history, self._sampler = settings, history, sampler
        self._wishes: SimpleQueue[Action] = SimpleQueue()
        self._hear_signals()
        self._sign_due = 0.0
        self._is_ready = False
        self._told = ""
        self._started_at = datetime.now(UTC)
        app = create_server(settings, sampler, self._started_at)
        self._listeners = Listeners(app, settings.server, sockets)
        self._heartbeat = self._beating(settings)

    def run(self, load: Callable[[], Settings]) -> None:
        """Serve until told to end; on SIGHUP, take over the settings that `load` returns then."""
        wish: Action | None = None
        while wish != "stop":
            if wish == "reload":
                self._reload(load)
            if not self._sampler.is_running:  # a reload stopped it and failed
                self._sampler.resume()
            self._listeners.sync_addresses()
            self._tell_manager()
            wish = self._wish()
        self._stop()

    def _hear_signals(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._wishes.put("stop"))
        signal.signal(signal.SIGINT, lambda *_: self._wishes.put("stop"))
        # A terminal that is closed hangs up too, and means the end.
        hang_up: Action = "stop" if sys.stdin and sys.stdin.isatty() else "reload"
        signal.signal(signal.SIGHUP, lambda *_: self._wishes.put(hang_up))

    def _reload(self, load: Callable[[], Settings]) -> None:
        """Apply new settings without dropping a request; keep the current ones if that fails."""
        systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            self._apply(_loaded(load))
        except SettingsError as error:
            for line in str(error).splitlines():
                log.error("reload rejected, keeping the current settings: %s", line)
        except Exception as error:  # noqa: BLE001 - a reload must not end the service
            log.error("reload rejected, keeping the current settings: %s", describe_error(error))
        systemd.notify("READY=1")

    def _apply(self, wanted: Settings) -> None:
        if self._settings.names_databases and not wanted.names_databases:
            text = "names no database: is it empty or gone? Restart to watch the usual five."
            raise SettingsError(f"{wanted.source}: {text}")
        settings = _as_far_as_possible(self._settings, wanted)
        if not self._sampler.stop(for_good=False):
            raise SettingsError("the reading under way does not end; reload again later.")
        try:
            sampler = Sampler(settings, self._history)
        except sqlite3.Error as error:
            text = f"{self._sampler.history_paused or error} Reload again then, or restart."
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
        self._heartbeat = self._beating(settings)
        watching = numbers.plural(len(settings.databases), "database")
        restart = _waiting_for_restart(settings, wanted)
        after = f"; after a restart also {' and '.join(restart)}" if restart else ""
        log.info("reloaded: watching %s%s", watching, after)

    def _beating(self, settings: Settings) -> Heartbeat:
        """Return a heartbeat that has begun, and beats while there are fresh readings."""
        heartbeat = Heartbeat(settings.watch, lambda: self._sampler.fresh() is not None)
        heartbeat.start()
        return heartbeat

    def _stop(self) -> None:
        """Answer what is under way and finish the tick, both at once."""
        systemd.notify("STOPPING=1")
        self._heartbeat.stop()
        self._listeners.stop()
        self._sampler.stop()
        self._listeners.join()

    def _wish(self) -> Action | None:
        """Wait for signals. Several reloads are one, and an end does not wait for reloads."""
        try:
            wishes = {self._wishes.get(timeout=BEAT_SECONDS)}
            while not self._wishes.empty():
                wishes.add(self._wishes.get())
        except Empty:
            return None
        return "stop" if "stop" in wishes else "reload"

    def _tell_manager(self) -> None:
        """Say that we are ready, once; what we do, when that changes; and that we live."""
        if not self._is_ready and self._answers():
            self._is_ready = True
            systemd.notify("READY=1")
        port = self._settings.server.port
        links = " ".join(network.page_url(address, port) for address in self._listeners.addresses)
        if links != self._told:
            self._told = links
            systemd.notify(f"STATUS=Serving {links}")
        self._give_sign()

    def _give_sign(self) -> None:
        every_seconds, now = systemd.watchdog_seconds(), time.monotonic()
        if every_seconds is None or now < self._sign_due:
            return
        self._sign_due = now + every_seconds / SIGNS_IN_TIME
        if self._sampler.overdue_seconds > every_seconds:
            log.error("no reading ends any more: waiting to be started anew")
        elif not self._answers():
            log.error("our own page does not answer: waiting to be started anew")
        else:
            systemd.notify("WATCHDOG=1")

    def _answers(self) -> bool:
        """Whether a request to this machine's own address is answered, with whatever."""
        own = [one for one in self._listeners.addresses if one.is_loopback or one.is_unspecified]
        for address in own[:1]:
            try:
                self_probe.get(address, self._settings.server.port, "/health", ANSWER_SECONDS)
            except OSError:
                return False
        return True


def _loaded(load: Callable[[], Settings]) -> Settings:
    """Return new settings. Raise SettingsError if they are unusable or take too long to read."""
    results: SimpleQueue[Settings | Exception] = SimpleQueue()

    def run() -> None:
        try:
            results.put(load())
        except Exception as error:  # noqa: BLE001 - raised below
            results.put(error)

    # In a thread of its own, because a file on a hung mount would keep signals from being handled.
    Thread(target=run, daemon=True).start()
    try:
        result = results.get(timeout=LOAD_SECONDS)
    except Empty:
        text = f"no answer from its files within {LOAD_SECONDS:g} s: a disk or mount may hang."
        raise SettingsError(text) from None
    if isinstance(result, Exception):
        raise result
    return result


def _as_far_as_possible(now: Settings, wanted: Settings) -> Settings:
    """Return the wanted settings, with what is fixed while we run as it is now."""
    server = wanted.server.model_copy(update={"port": now.server.port})
    return wanted.model_copy(update={"server": server, "history": now.history})


def _waiting_for_restart(now: Settings, wanted: Settings) -> list[str]:
    """Return the names of the settings that a reload could not take over."""
    differs = {
        "[history]": now.history != wanted.history,
        "[server] port": now.server.port != wanted.server.port,
    }
    return [name for name, is_different in differs.items() if is_different]
