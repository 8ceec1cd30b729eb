"""Mission Control: one page that says whether the agents' SQLite databases are well.

A package imports only from those before its own:

    model, system, settings, words -> reader, airlock -> history, rules, incidents, alerts
    -> sampler, loader -> page, api, metrics -> web -> service -> doctor, demo, cli

Nothing is imported here, so that each process loads only what it needs.
"""

VERSION = "0.1.0"
