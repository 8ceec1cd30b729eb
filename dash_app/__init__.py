"""Mission Control: one page that shows whether AI agents' SQLite databases are well."""

VERSION = "0.1.0"

LAYERS: tuple[dict[str, str], ...] = (
    {"model": "frozen values: database, reading, problem, event, incident, snapshot"},
    {"system": "the interface to Linux: addresses, clock, processes, systemd, logs, secret files"},
    {"settings": "the TOML file as frozen, validated settings"},
    {"words": "every sentence that people read, numbers and times"},
    {"reader": "the child process that opens watched files; standard library only"},
    {"airlock": "the parent's end: starts, asks and replaces the child processes"},
    {"history": "our own SQLite file: points, rollups, events, incidents, openers, notifications"},
    {"rules": "interpretation of readings: changes, problems, expectations"},
    {"incidents": "problems with one cause become one incident"},
    {"alerts": "notifications: policy, delivery, heartbeat"},
    {"sampler": "the one thread that reads, judges and publishes a snapshot"},
    {"loader": "pandas frames for trends and tables"},
    {
        "page": "the Dash page and the plain glance",
        "api": "JSON and CSV for automation, and its OpenAPI description",
        "metrics": "the snapshot for Prometheus",
    },
    {"web": "the WSGI application, access control, and the listeners"},
    {"service": "the serving process: its life cycle, and the installer's checks"},
    {"doctor": "checks of an installation, with fixes"},
    {"demo": "five databases with live writers"},
    {"cli": "the commands"},
)
"""The packages and single modules, and what each is for.

Each imports only from those above it; those of one layer do not import one another. The
architecture test holds this, and the picture in README.md beside this file is drawn from it.
"""
