"""Our own record: points when a number changed, the spans in which we watched, and memories.

One SQLite file of ours, never a watched one. `store` writes it and `query` reads it; both speak
in values of the model and times in whole seconds since 1970, UTC.
"""
