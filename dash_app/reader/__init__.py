"""The airlock: the only code that touches a watched file, in a process of its own.

`airlock` is the parent's side; everything else here runs in the child (`python -m
dash_app.reader`), on the standard library alone, asked and answering in JSON lines. Nothing here
may write, create or remove a file, keep a connection open between readings, or hold two
descriptors of one file: closing either drops every lock this process has on it
(sqlite.org/howtocorrupt.html, 2.2).
"""
