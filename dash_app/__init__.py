"""Mission Control: one page that says whether the agents' SQLite databases are well.

Imports run one way: model, settings, words -> watched -> history, sampler -> loader -> network,
page, api -> server -> cli. Nothing is imported here, so that each process loads only what it needs.
"""

VERSION = "0.1.0"
