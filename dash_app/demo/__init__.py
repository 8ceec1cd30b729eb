"""The demo: five databases in a temporary folder, and five processes that write to them.

The writers stand for a user's agents. This is the only code of ours that writes to watched
databases. Only `cli` imports it, and it reads nothing back.
"""
