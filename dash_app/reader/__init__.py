"""The child process of the airlock: the only code that opens watched files.

It uses only the standard library. Nothing here may write, create or remove a file, keep a
connection open between readings, or hold two descriptors of one file: closing either of them
drops all locks that this process has on the file (sqlite.org/howtocorrupt.html, 2.2).
"""
