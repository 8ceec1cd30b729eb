"""Programs whose databases are recognized, and the folders where such databases are."""

PROGRAMS = (
    # docs.openclaw.ai/reference/database-schemas
    (
        "OpenClaw agent",
        "schema_meta transcript_events",
        "agents/*/agent/openclaw-agent.sqlite",
    ),
    # hermes-agent.nousresearch.com/docs/developer-guide/session-storage
    ("Hermes profile", "messages_fts sessions state_meta", "profiles/*/state.db"),
    ("Hermes", "messages_fts sessions state_meta", None),
    ("Home Assistant", "events recorder_runs states", None),
    ("n8n", "credentials_entity execution_entity workflow_entity", None),
    ("Uptime Kuma", "heartbeat monitor monitor_notification", None),
    ("Jellyfin", "BaseItems MediaStreamInfos", None),
    ("Jellyfin library", "TypedBaseItems mediastreams", None),  # before version 10.11
    ("Sonarr", "Episodes RootFolders Series", None),
    ("Radarr", "MovieFiles Movies RootFolders", None),
    ("Lidarr", "Albums Artists RootFolders", None),
    ("Readarr", "Authors Books RootFolders", None),
    ("Prowlarr", "Applications Indexers IndexerStatus", None),
    ("Bazarr", "table_episodes table_movies table_shows", None),
)
"""The title of each program, tables that its databases have and hardly any other, and the end of
their paths if there are any number of them, such as one per agent. The first that fits decides."""

FOLDERS = (
    *("~/.openclaw", "~/.hermes", "~/clawd"),  # each may be a link, which is not followed
    *("/opt", "/srv", "/data", "/config", "/var/lib/docker/volumes"),
    *("/usr/share/hassio/homeassistant", "/var/lib/homeassistant", "/home/homeassistant"),
    *("/var/lib/n8n", "/var/lib/uptime-kuma", "/var/lib/jellyfin"),
    *("/var/lib/sonarr", "/var/lib/radarr", "/var/lib/lidarr", "/var/lib/readarr"),
    *("/var/lib/prowlarr", "/var/lib/bazarr", "~"),
)
"""Where agents and common services keep their data on a Linux machine or in a container. The home
comes last, as it may have any number of files."""
