"""Our own SQLite file: points, rollups, events, incidents and notifications.

`writer` writes it, in one thread. Everyone else reads it through functions that take its path.
"""
