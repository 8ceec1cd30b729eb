"""Programs whose databases are recognized, and the folders where such databases are."""

from typing import NamedTuple


class Program(NamedTuple):
    """A program, or a part of one, that keeps databases with certain tables."""

    title: str
    tables: frozenset[str]
    """Tables that each of its databases has, and hardly any other."""
    pattern: str = ""
    """The end of the paths, if it has any number of databases: one per agent, for instance."""


def _program(title: str, tables: str, pattern: str = "") -> Program:
    return Program(title, frozenset(tables.split()), pattern)


PROGRAMS = (
    # docs.openclaw.ai/reference/database-schemas
    _program(
        "OpenClaw agent",
        "schema_meta transcript_events",
        "agents/*/agent/openclaw-agent.sqlite",
    ),
    # hermes-agent.nousresearch.com/docs/developer-guide/session-storage
    _program("Hermes profile", "messages_fts sessions state_meta", "profiles/*/state.db"),
    _program("Hermes", "messages_fts sessions state_meta"),
    _program("Home Assistant", "events recorder_runs states"),
    _program("n8n", "credentials_entity execution_entity workflow_entity"),
    _program("Uptime Kuma", "heartbeat monitor monitor_notification"),
    _program("Jellyfin", "BaseItems MediaStreamInfos"),
    _program("Jellyfin library", "TypedBaseItems mediastreams"),  # before version 10.11
    _program("Sonarr", "Episodes RootFolders Series"),
    _program("Radarr", "MovieFiles Movies RootFolders"),
    _program("Lidarr", "Albums Artists RootFolders"),
    _program("Readarr", "Authors Books RootFolders"),
    _program("Prowlarr", "Applications Indexers IndexerStatus"),
    _program("Bazarr", "table_episodes table_movies table_shows"),
)
"""The first that matches decides."""

FOLDERS = (
    *("~", "~/.openclaw", "~/.hermes", "~/clawd"),  # each may be a link, which is not followed
    *("/opt", "/srv", "/data", "/config", "/var/lib/docker/volumes"),
    *("/usr/share/hassio/homeassistant", "/var/lib/homeassistant", "/home/homeassistant"),
    *("/var/lib/n8n", "/var/lib/uptime-kuma", "/var/lib/jellyfin"),
    *("/var/lib/sonarr", "/var/lib/radarr", "/var/lib/lidarr", "/var/lib/readarr"),
    *("/var/lib/prowlarr", "/var/lib/bazarr"),
)
"""Where agents and common services keep their data on a Linux machine or in a container."""
